"""A run's life: transitions, pausing, cancelling, deleting, and what becomes of its items."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from shared.ledger.database import Ledger
from shared.ledger.events import read_events
from shared.ledger.items import Lease, LeaseLost, NewItem, NewModel, NewRecord, Result, claim, commit, renew, save_partial
from shared.ledger.opening import open_stage
from shared.ledger.records import UsageRow, append_usage, run_usage
from shared.ledger.runs import (
    IdempotencyConflict,
    NewStage,
    NotInState,
    cancel_run,
    close_stage,
    create_run,
    delete_run,
    get_run,
    get_stages,
    live_runs,
    model_uri,
    move_run,
    set_paused,
    stage_counts,
)
from shared.ledger.setbacks import release
from shared.ledger.tables import RunState, StageState, metadata, runs

NewRun = Callable[..., str]


def take(ledger: Ledger, run: str, key: str) -> Lease:
    lease = claim(ledger, f"{run}/work/{key}", "w", 30)
    assert lease is not None
    return lease


def state(ledger: Ledger, run: str) -> str:
    row = get_run(ledger, run)
    assert row is not None
    return str(row.state)


def test_a_run_begins_with_its_preflight_and_stages_in_order(ledger: Ledger) -> None:
    run, created = create_run(ledger, "made", {"name": "made"}, [NewStage("a", "import", ()), NewStage("b", "train", ("a",), 2)])
    assert created
    found = [(row.name, row.kind, row.needs, row.state, row.max_dead) for row in get_stages(ledger, run)]
    assert found == [
        ("preflight", "preflight", [], "waiting", 0), ("a", "import", [], "waiting", 0), ("b", "train", ["a"], "waiting", 2),
    ]  # fmt: skip
    assert state(ledger, run) == RunState.CHECKING
    assert [row.id for row in live_runs(ledger)] == [run]


def test_an_idempotency_key_makes_one_run_and_knows_its_request(ledger: Ledger) -> None:
    first = create_run(ledger, "made", {}, [], "key", "digest")
    assert create_run(ledger, "made", {}, [], "key", "digest") == (first[0], False)
    with pytest.raises(IdempotencyConflict):
        create_run(ledger, "other", {}, [], "key", "another digest")
    assert create_run(ledger, "made", {}, [])[1]  # without a key every request is a new one


def test_every_transition_happens_once(ledger: Ledger) -> None:
    run = create_run(ledger, "made", {}, [NewStage("work", "search", ())])[0]
    items = [NewItem(key="0", service="searcher", payload={})]
    assert move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
    assert not move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
    assert open_stage(ledger, run, "work", items)
    assert not open_stage(ledger, run, "work", items)
    assert close_stage(ledger, run, "work", StageState.FAILED, "all items died")
    assert not close_stage(ledger, run, "work", StageState.DONE)
    types = [event.type for event in read_events(ledger, run_id=run)]
    assert types == ["run.created", "run.running", "stage.open", "stage.failed"]


def test_a_stage_whose_filling_fails_stays_waiting(ledger: Ledger) -> None:
    run = create_run(ledger, "made", {}, [NewStage("work", "search", ())])[0]
    twice = [NewItem(key="0", service="searcher", payload={})] * 2
    with pytest.raises(IntegrityError):
        open_stage(ledger, run, "work", twice)
    assert get_stages(ledger, run)[1].state == StageState.WAITING
    assert stage_counts(ledger, run) == {}
    assert open_stage(ledger, run, "work", twice[:1])


@pytest.mark.parametrize("ending", [RunState.DONE, RunState.FAILED, RunState.CANCELLED])
def test_an_ended_run_takes_its_open_items_with_it(ledger: Ledger, new_run: NewRun, ending: RunState) -> None:
    run = new_run(3)
    commit(ledger, take(ledger, run, "0"), Result([NewRecord("tree", "0", {})]))
    held = take(ledger, run, "1")
    assert move_run(ledger, run, RunState.RUNNING, ending, "a reason")
    counts = stage_counts(ledger, run)["work"]
    assert (counts["done"], counts["cancelled"]) == (1, 2)
    assert renew(ledger, "w", 30, {held.item_id}) == set()
    with pytest.raises(LeaseLost):
        commit(ledger, held, Result([NewRecord("tree", "1", {})]))
    assert claim(ledger, f"{run}/work/2", "w", 30) is None
    assert get_stages(ledger, run)[1].state == StageState.CANCELLED
    for refused in (lambda: cancel_run(ledger, run), lambda: set_paused(ledger, run, True)):
        with pytest.raises(NotInState):
            refused()


def test_pausing_takes_items_back_and_resuming_goes_on(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run(2)
    held = take(ledger, run, "0")
    save_partial(ledger, held, 0, {"round": 1})
    set_paused(ledger, run, True)
    assert renew(ledger, "w", 30, {held.item_id}) == set()
    assert claim(ledger, f"{run}/work/1", "w", 30) is None
    with pytest.raises(LeaseLost):
        save_partial(ledger, held, 1, {"round": 2})
    assert live_runs(ledger) == []
    set_paused(ledger, run, False)
    again = take(ledger, run, "0")
    assert (again.fence, again.attempts, again.lost) == (held.fence + 1, 0, 0)
    assert [event.type for event in read_events(ledger, run_id=run)][-2:] == ["run.paused", "run.resumed"]


def test_an_item_claimed_while_its_run_was_being_paused_is_given_back_at_the_next_renewal(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run(1)
    held = take(ledger, run, "0")
    with ledger.write() as connection:  # what a claim leaves that commits between the two statements of pausing
        connection.execute(update(runs).values(paused=True))
    assert renew(ledger, "w", 30, {held.item_id}) == set()  # not the worker's any more: it lets go of it
    release(ledger, held)
    set_paused(ledger, run, False)
    assert take(ledger, run, "0").fence == held.fence + 1


def test_deleting_leaves_nothing(ledger: Ledger, new_run: NewRun) -> None:
    kept = new_run(1)
    run = new_run(3)
    done, held = take(ledger, run, "0"), take(ledger, run, "1")
    commit(ledger, done, Result([NewRecord("checkpoint", "checkpoint", {})], NewModel("file:///x", {})))
    append_usage(ledger, held, [UsageRow("policy", "m", 1, 2, 3)])
    save_partial(ledger, held, 0, {})
    assert model_uri(ledger, run, "work") == "file:///x"
    with pytest.raises(NotInState, match="cancel it first"):
        delete_run(ledger, run)
    cancel_run(ledger, run)
    assert [(row.role, row.completion_tokens) for row in run_usage(ledger, run)] == [("policy", 3)]
    delete_run(ledger, run)
    with ledger.read() as connection:
        for table in metadata.sorted_tables:
            owned = table.c.get("run_id", table.c.id if table.name == "runs" else table.c.get("item_id"))
            if owned is not None:
                left = connection.execute(select(func.count()).where(owned.startswith(run))).scalar_one()
                assert left == 0, f"{table.name} still holds {left} rows of the run"
    assert state(ledger, kept) == RunState.RUNNING
    with pytest.raises(LeaseLost):
        commit(ledger, held, Result())
