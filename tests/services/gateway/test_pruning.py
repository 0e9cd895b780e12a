"""What is freed, and what never is: on the real ledger and real files."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, update
from starlette.testclient import TestClient

from services.gateway.pruning import prune_files
from shared.artifacts import item_folder, local_path, write_bytes
from shared.contracts.recipe import Recipe
from shared.ledger.answers import find_answer, keep_answer
from shared.ledger.database import Ledger, now
from shared.ledger.items import NewItem, NewModel, NewRecord, Result, claim, commit, item_name, save_partial
from shared.ledger.opening import open_stage
from shared.ledger.pruning import KINDS, kept_stages, prune
from shared.ledger.records import count_records, record_keys
from shared.ledger.runs import NewStage, close_stage, create_run, get_run, move_run
from shared.ledger.tables import RunState, StageState, events, partials, records, runs, workers
from shared.ledger.workers import beat

MODEL = {"base": {"model": "m"}}
PROBLEMS = {"few": {"generator": "arithmetic", "count": 3}}
STAGES: dict[str, Any] = {
    "trees": {"kind": "search", "problems": "few", "policy": "base"},
    "idle": {"kind": "search", "problems": "few", "policy": "base"},
    "set": {"kind": "compile", "trees": "trees"},
    "policy": {"kind": "train", "base": "base", "data": "set", "config": "journey"},
}


def made(
    ledger: Ledger, stages: dict[str, Any] = STAGES, finished: bool = True, results: frozenset[str] = frozenset(STAGES)
) -> str:
    """A run whose stages in `results` left their records and files, besides those of an attempt that was lost."""
    recipe = Recipe.model_validate({"name": "made", "models": MODEL, "problems": PROBLEMS, "stages": stages})
    new = [NewStage(name, stage.kind, recipe.needs(name)) for name, stage in recipe.stages.items()]
    run = create_run(ledger, "made", recipe.model_dump(mode="json"), new)[0]
    close_stage(ledger, run, "preflight", StageState.DONE)
    move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
    for name, stage in recipe.stages.items():
        open_stage(ledger, run, name, [NewItem("0", "searcher", {})])
        lease = claim(ledger, item_name(run, name, "0"), "hands", 30)
        assert lease is not None
        save_partial(ledger, lease, 1, {"half": True})
        if name not in results:
            continue
        kind = {"search": "tree", "compile": "dataset", "train": "checkpoint"}[stage.kind]
        folder = item_folder(run, name, "0", lease.fence)
        write_bytes(f"{folder}/result.bin", b"x" * 10)
        write_bytes(f"{item_folder(run, name, '0', lease.fence + 7)}/lost.bin", b"x" * 100)
        model = NewModel(folder, {}) if kind == "checkpoint" else None
        commit(ledger, lease, Result([NewRecord(kind, f"{name}-0", {"uri": folder})], model))
        row = {"run_id": run, "stage": name, "item_id": lease.item_id, "fence": 99, "kind": kind, "key": "lost", "body": {}}
        with ledger.write() as connection:
            connection.execute(insert(records).values(**row, published=False, created_at=now()))
    if finished:
        move_run(ledger, run, RunState.RUNNING, RunState.DONE)
        with ledger.write() as connection:
            connection.execute(update(runs).where(runs.c.id == run).values(ended_at=runs.c.ended_at - 1000))
    return run


def rows(ledger: Ledger, table: Any, run: str) -> int:
    where = table.c.item_id.like(f"{run}/%") if table is partials else table.c.run_id == run
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table).where(where)).scalar_one())


def files(run: str) -> set[str]:
    root = local_path(item_folder(run, "x", "x", 0))
    assert root is not None
    return {path.name for path in root.parents[2].rglob("*.bin")} if root.parents[2].exists() else set()


def test_results_and_what_they_rest_on_stay(ledger: Ledger) -> None:
    run = made(ledger)
    for kind in KINDS:
        prune(ledger, kind, 0, dry=False)
    assert count_records(ledger, run) == {("trees", "tree"): 1, ("set", "dataset"): 1, ("policy", "checkpoint"): 1}
    assert rows(ledger, events, run) == rows(ledger, partials, run) == 0
    assert rows(ledger, records, run) == 3, "no record of an attempt that was not taken"
    assert record_keys(ledger, run, "trees", "tree") == ["trees-0"], "trace still leads from the dataset to its trees"


def test_a_dry_run_counts_what_the_next_one_deletes(ledger: Ledger) -> None:
    made(ledger)
    expected = {kind: prune(ledger, kind, 0) for kind in KINDS}
    assert expected == {kind: prune(ledger, kind, 0) for kind in KINDS}
    assert expected == {kind: prune(ledger, kind, 0, dry=False) for kind in KINDS}
    assert {kind: prune(ledger, kind, 0, dry=False) for kind in KINDS} == dict.fromkeys(KINDS, 0)
    assert expected["records"] == 1 and expected["attempts"] == 4


def test_live_runs_and_young_ones_are_not_touched(ledger: Ledger) -> None:
    live, young = made(ledger, finished=False), made(ledger)
    for kind in KINDS:
        assert prune(ledger, kind, 2000, dry=False) == 0
        prune(ledger, kind, 0, run_id=live, dry=False)
    assert prune_files(ledger, 2000, None, dry=False)["files"] == 0
    for run in (live, young):
        assert rows(ledger, records, run) == 8 and rows(ledger, events, run) > 0


def test_one_run_alone(ledger: Ledger) -> None:
    one, other = made(ledger), made(ledger)
    prune(ledger, "events", 0, run_id=one, dry=False)
    assert rows(ledger, events, one) == 0 < rows(ledger, events, other)


def test_files_that_no_result_names_go_and_those_of_deleted_runs(ledger: Ledger) -> None:
    run = made(ledger)
    write_bytes(f"{item_folder('gone', 'set', '0', 1)}/left.bin", b"x")
    assert prune_files(ledger, 0, None, dry=True) == {"files": 7, "bytes": 421}  # four lost, two of searches, one of a deleted run
    assert files(run) == {"result.bin", "lost.bin"}
    assert prune_files(ledger, 0, None, dry=False) == {"files": 7, "bytes": 421}
    assert files(run) == {"result.bin"} and not files("gone")
    assert prune_files(ledger, 0, None, dry=False) == {"files": 0, "bytes": 0}


def test_answers_and_workers_go_by_age(ledger: Ledger) -> None:
    keep_answer(ledger, "a" * 64, {"x": 1})
    beat(ledger, "old", "searcher", 1)
    with ledger.write() as connection:
        connection.execute(update(workers).values(seen_at=workers.c.seen_at - 10_000))
    beat(ledger, "new", "searcher", 1)
    assert prune(ledger, "answers", 60, dry=False) == 0 and find_answer(ledger, "a" * 64)
    assert prune(ledger, "answers", 0, dry=False) == 1 and find_answer(ledger, "a" * 64) is None
    assert prune(ledger, "workers", 0, dry=False) == 1


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    found = Ledger(f"sqlite:///{tmp_path_factory.mktemp('prune')}/ledger.db")
    found.migrate()
    return found


@settings(max_examples=25)
@given(st.sets(st.sampled_from(sorted(STAGES))), st.lists(st.sampled_from(KINDS), max_size=6))
def test_whatever_is_pruned_all_that_a_result_rests_on_is_there(kept: Ledger, results: set[str], kinds: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.write_bytes", lambda url, content: url)
        run = made(kept, results=frozenset(results))
    before = set(count_records(kept, run))
    for kind in kinds:
        prune(kept, kind, 0, run_id=run, dry=False)
    after = set(count_records(kept, run))
    needed = {(stage, kind) for stage, kind in before if stage in kept_stages(kept, run)}
    assert needed <= after <= before
    if "set" in results and "trees" in results:
        assert ("trees", "tree") in after and ("set", "dataset") in after
    assert get_run(kept, run) is not None


def test_the_gateway_shows_first_and_deletes_when_told(http: TestClient, ledger: Ledger, configured: Path) -> None:
    run = made(ledger)
    query = {"older_than_days": 0, "kind": ["events", "files", "records"]}
    shown = http.post("/v1/prune", params=query).json()
    assert shown["dry_run"] and shown["freed"]["records"] == {"rows": 1} and shown["freed"]["files"]["files"] == 6
    assert rows(ledger, events, run) == shown["freed"]["events"]["rows"]
    done = http.post("/v1/prune", params={**query, "dry_run": False}).json()
    assert done["freed"] == shown["freed"] and rows(ledger, events, run) == 0
    assert http.post("/v1/prune", params={"kind": "everything"}).status_code == 422
