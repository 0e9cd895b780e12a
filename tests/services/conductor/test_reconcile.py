"""A run's whole life, moved on by hand: every transition from the ledger alone."""

from collections.abc import Callable
from typing import Any

import pytest

from services.conductor.reconcile import reconcile
from shared.contracts.work import Slice
from shared.ledger.database import Ledger
from shared.ledger.items import Lease, NewModel, NewRecord, Result, claim, commit, item_name
from shared.ledger.runs import cancel_run, close_stage, get_run, get_stages, set_paused
from shared.ledger.setbacks import fail
from shared.ledger.tables import StageState

Post = Callable[..., str]


def keys(ledger: Ledger, run: str, stage: str) -> list[str]:
    from sqlalchemy import select

    from shared.ledger.tables import items

    with ledger.read() as connection:
        query = select(items.c.key).where(items.c.run_id == run, items.c.stage == stage).order_by(items.c.place)
        return list(connection.execute(query).scalars())


def take(ledger: Ledger, run: str, stage: str, key: str) -> Lease:
    lease = claim(ledger, item_name(run, stage, key), "hands", 30)
    assert lease is not None
    return lease


def finish(ledger: Ledger, run: str, stage: str, kind: str, model: bool = False) -> None:
    for key in keys(ledger, run, stage):
        made = NewModel(f"file:///models/{stage}", {}) if model else None
        commit(ledger, take(ledger, run, stage, key), Result([NewRecord(kind, key, {})], made))


def states(ledger: Ledger, run: str) -> dict[str, str]:
    return {stage.name: stage.state for stage in get_stages(ledger, run)}


def passes(ledger: Ledger, count: int = 3) -> None:
    for _ in range(count):
        reconcile(ledger)


def test_a_run_goes_from_posted_to_done(ledger: Ledger, post: Post) -> None:
    run = post()
    reconcile(ledger)
    assert states(ledger, run)["preflight"] == StageState.OPEN
    assert keys(ledger, run, "preflight") == ["base.trainer", "base.evaluator"]
    assert get_run(ledger, run).state == "checking"

    finish(ledger, run, "preflight", "preflight")
    passes(ledger)
    assert get_run(ledger, run).state == "running"
    assert states(ledger, run) == {"preflight": "done", "worked": "open"} | dict.fromkeys(
        ("policy", "search", "thoughts", "measure"), "waiting"
    )

    finish(ledger, run, "worked", "example")
    passes(ledger)
    finish(ledger, run, "policy", "checkpoint", model=True)
    passes(ledger)
    assert len(keys(ledger, run, "search")) == 40
    lease = take(ledger, run, "search", "000003")
    assert lease.payload["roles"]["policy"]["spec"]["model"] == "file:///models/policy"
    assert Slice.model_validate(lease.payload["problems"]) == Slice(set="sums", skip=3, count=1)
    assert "file:///models/policy" in lease.engine_set
    commit(ledger, lease, Result([NewRecord("tree", "p3", {})]))
    for key in keys(ledger, run, "search"):
        if key != "000003":
            commit(ledger, take(ledger, run, "search", key), Result([NewRecord("tree", key, {})]))
    passes(ledger)
    assert keys(ledger, run, "thoughts") == ["trees-000000", "close"]
    finish(ledger, run, "thoughts", "dataset")
    passes(ledger)
    assert keys(ledger, run, "measure") == ["base-000040", "policy-000040", "close"]
    finish(ledger, run, "measure", "report")
    passes(ledger)
    assert get_run(ledger, run).state == "done"


@pytest.mark.parametrize("far", [False, True])
def test_a_reward_is_proven_first_and_served_beside_what_it_weighs(ledger: Ledger, post: Post, far: bool) -> None:
    scorer = {"model": "some/prm", "prm": "skywork", **({"url": "http://127.0.0.1:1/v1"} if far else {})}
    models = {"base": {"model": "some/model"}, "scorer": scorer}
    stage = {"kind": "evaluate", "models": ["base"], "problems": "held", "reward": "scorer"}
    run = post(models=models, stages={"measure": stage})
    reconcile(ledger)
    assert keys(ledger, run, "preflight") == ["base.evaluator", "scorer.evaluator"]
    asked = take(ledger, run, "preflight", "scorer.evaluator")
    assert asked.payload["check"] == "answers"
    commit(ledger, asked, Result([NewRecord("preflight", "scorer", {})]))
    commit(ledger, take(ledger, run, "preflight", "base.evaluator"), Result([NewRecord("preflight", "base", {})]))
    passes(ledger)
    lease = take(ledger, run, "measure", "base-000040")
    assert {role: ref["name"] for role, ref in lease.payload["roles"].items()} == {"policy": "base", "reward": "scorer"}
    assert ("some/prm" in lease.engine_set) is not far and "some/model" in lease.engine_set


def checked(ledger: Ledger, post: Post, **changes: Any) -> str:
    run = post(**changes)
    reconcile(ledger)
    finish(ledger, run, "preflight", "preflight")
    passes(ledger)
    return run


def test_a_failed_preflight_rejects_the_run_with_its_reason(ledger: Ledger, post: Post) -> None:
    run = post()
    reconcile(ledger)
    fail(ledger, take(ledger, run, "preflight", "base.trainer"), "models.base: no such model")
    commit(ledger, take(ledger, run, "preflight", "base.evaluator"), Result())
    passes(ledger)
    row = get_run(ledger, run)
    assert (row.state, row.reason) == ("rejected", "models.base: no such model")
    assert set(states(ledger, run).values()) == {"failed", "cancelled"}


def test_a_stage_whose_items_died_fails_the_run_and_cancels_the_rest(ledger: Ledger, post: Post) -> None:
    run = checked(ledger, post)
    for _ in range(3):
        lease = claim(ledger, item_name(run, "worked", "000000"), "hands", 30)
        if lease is None:  # it waits between attempts
            break
        fail(ledger, lease, "ValueError: broken", hopeless=True)
    passes(ledger)
    row = get_run(ledger, run)
    assert row.state == "failed"
    assert "stage worked" in row.reason and "ValueError: broken" in row.reason


def test_a_stage_without_output_fails_the_run(ledger: Ledger, post: Post) -> None:
    run = checked(ledger, post)
    commit(ledger, take(ledger, run, "worked", "000000"), Result())
    passes(ledger)
    assert get_run(ledger, run).state == "failed"
    assert "none of them left a record" in get_run(ledger, run).reason


def test_a_crash_between_closing_a_stage_and_ending_its_run_is_made_good(ledger: Ledger, post: Post) -> None:
    run = checked(ledger, post)
    close_stage(ledger, run, "worked", StageState.FAILED, "cut off here")
    reconcile(ledger)
    assert get_run(ledger, run).reason == "stage worked: cut off here"


def test_max_dead_lets_a_stage_pass(ledger: Ledger, post: Post) -> None:
    stages = {"search": {"kind": "search", "policy": "base", "problems": "train", "max_dead": 1}}
    run = checked(ledger, post, stages=stages)
    first, *others = keys(ledger, run, "search")
    fail(ledger, take(ledger, run, "search", first), "boom", hopeless=True)
    for key in others:
        commit(ledger, take(ledger, run, "search", key), Result([NewRecord("tree", key, {})]))
    passes(ledger)
    assert get_run(ledger, run).state == "done"


@pytest.mark.parametrize("ending", ["cancel", "pause"])
def test_a_cancelled_or_paused_run_loses_its_leases_and_moves_no_more(ledger: Ledger, post: Post, ending: str) -> None:
    run = checked(ledger, post)
    lease = take(ledger, run, "worked", "000000")
    cancel_run(ledger, run) if ending == "cancel" else set_paused(ledger, run, True)
    assert claim(ledger, lease.item_id, "hands", 30) is None
    before = states(ledger, run)
    passes(ledger)
    assert states(ledger, run) == before
    if ending == "pause":
        set_paused(ledger, run, False)
        commit(ledger, take(ledger, run, "worked", "000000"), Result([NewRecord("example", "p0", {})]))
        passes(ledger)
        assert states(ledger, run)["worked"] == "done"


def test_what_a_curation_kept_is_cut_by_its_records(ledger: Ledger, post: Post) -> None:
    run = post(
        stages={
            "kept": {"kind": "curate", "problems": "train"},
            "taught": {"kind": "distill", "problems": "kept", "teacher": "base"},
            "mixed": {"kind": "translate", "responses": ["taught"], "teacher": "base"},
            "chosen": {"kind": "select", "responses": ["mixed"]},
            "set": {"kind": "compile", "data": ["chosen"]},
        }
    )
    passes(ledger)
    finish(ledger, run, "preflight", "preflight")
    passes(ledger)
    whole = take(ledger, run, "kept", "curate")
    assert Slice.model_validate(whole.payload["problems"]).count == 40
    commit(ledger, whole, Result([NewRecord("problem", f"{place:06}", {}) for place in (0, 7, 39)]))
    passes(ledger)
    assert keys(ledger, run, "taught") == ["000000", "000001", "000002"]
    second = take(ledger, run, "taught", "000001")
    assert Slice.model_validate(second.payload["problems"]) == Slice(stage="kept", skip=1, count=1, keys=("000007",))
    for place, key in enumerate(keys(ledger, run, "taught")):
        lease = second if key == "000001" else take(ledger, run, "taught", key)
        commit(ledger, lease, Result([NewRecord("response", f"p{place}#{draw}", {}) for draw in range(7)]))
    passes(ledger)
    assert keys(ledger, run, "mixed") == ["taught-000000", "taught-000016"]
    part = take(ledger, run, "mixed", "taught-000016")
    assert (part.payload["stage"], len(part.payload["keys"])) == ("taught", 5)
    commit(ledger, part, Result([NewRecord("response", "p2#6@Chinese", {})]))
    commit(ledger, take(ledger, run, "mixed", "taught-000000"), Result())
    passes(ledger)
    finish(ledger, run, "chosen", "response")
    passes(ledger)
    assert keys(ledger, run, "set") == ["close"]


def test_a_curation_that_kept_nothing_fails_the_stage_after_it(ledger: Ledger, post: Post) -> None:
    run = post(stages={"kept": {"kind": "curate", "problems": "train"}, "worked": {"kind": "import", "problems": "kept"}})
    passes(ledger)
    finish(ledger, run, "preflight", "preflight")
    passes(ledger)
    finish(ledger, run, "kept", "curation")
    passes(ledger)
    assert get_run(ledger, run).reason.startswith("stage worked: stage kept kept no problem")


def test_an_evaluation_with_a_judge_has_both_models_in_its_engine_set(ledger: Ledger, post: Post) -> None:
    models = {"base": {"model": "some/model"}, "wise": {"model": "some/judge"}, "far": {"model": "j", "url": "http://x.test/v1"}}
    stage = {"kind": "evaluate", "models": ["base"], "problems": "held"}
    run = post(models=models, stages={"near": {**stage, "judge": "wise"}, "away": {**stage, "judge": "far"}, "none": stage})
    passes(ledger)
    assert keys(ledger, run, "preflight") == ["base.evaluator", "wise.evaluator", "far.evaluator"]
    finish(ledger, run, "preflight", "preflight")
    passes(ledger)
    leases = {name: take(ledger, run, name, "base-000040") for name in ("near", "away", "none")}
    assert {name: sorted(lease.payload["roles"]) for name, lease in leases.items()} == {
        "near": ["judge", "policy"],
        "away": ["judge", "policy"],
        "none": ["policy"],
    }
    assert "some/judge" in leases["near"].engine_set and "some/model" in leases["near"].engine_set
    assert leases["away"].engine_set == leases["none"].engine_set
    assert leases["near"].payload["roles"]["judge"]["name"] == "wise"


def test_a_regrading_needs_no_model_and_no_engine(ledger: Ledger, post: Post) -> None:
    measured = checked(ledger, post, stages={"measure": {"kind": "evaluate", "models": ["base"], "problems": "held"}})
    samples = [NewRecord("sample", f"{model}/p{n}#0", {}) for model, count in (("a", 1001), ("a-b", 2)) for n in range(count)]
    first, *others = keys(ledger, measured, "measure")
    commit(ledger, take(ledger, measured, "measure", first), Result(samples))
    for key in others:
        commit(ledger, take(ledger, measured, "measure", key), Result())
    stage = {"kind": "evaluate", "problems": "held", "regrade": {"run": measured, "stage": "measure"}}
    run = post(models={}, stages={"all": stage, "some": {**stage, "models": ["a-b"]}})
    passes(ledger)
    assert keys(ledger, run, "preflight") == []
    assert get_run(ledger, run).state == "running"
    assert keys(ledger, run, "some") == ["a-b-000000", "close"]
    assert keys(ledger, run, "all") == ["a-b-000000", "a-000000", "a-001000", "close"]
    leases = [take(ledger, run, "all", key) for key in keys(ledger, run, "all")[:3]]
    assert [len(lease.payload["keys"]) for lease in leases] == [2, 1000, 1]
    assert {(lease.engine_set, lease.payload["run"], len(lease.payload["roles"])) for lease in leases} == {("", measured, 0)}
    assert claim(ledger, item_name(run, "all", "close"), "hands", 30) is not None


def test_a_regrading_of_samples_that_are_gone_says_so(ledger: Ledger, post: Post) -> None:
    stage = {"kind": "evaluate", "problems": "held", "regrade": {"run": "tiny-0", "stage": "measure"}}
    run = post(models={}, stages={"again": stage})
    passes(ledger)
    assert get_run(ledger, run).reason == "stage again: the samples of stage measure of run tiny-0 are gone"
