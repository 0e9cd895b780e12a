"""Claim, renew, commit, fail, release, sweep: at-least-once delivery, exactly-once effect."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from shared.ledger.database import Ledger, now
from shared.ledger.events import read_events
from shared.ledger.items import (
    MAX_ROWS,
    Lease,
    LeaseLost,
    NewModel,
    NewRecord,
    Result,
    claim,
    commit,
    forgive,
    load_partials,
    renew,
    report_progress,
    save_partial,
)
from shared.ledger.records import UsageRow, append_usage, count_records, iterate_records, page_records, record_keys, run_usage
from shared.ledger.ringing import candidates
from shared.ledger.runs import cancel_run, delete_run, model_uri, set_paused
from shared.ledger.setbacks import fail, lose, release, sweep
from shared.ledger.tables import ItemState, items

NewRun = Callable[..., str]


def take(ledger: Ledger, run: str, key: str = "0", worker: str = "w") -> Lease:
    lease = claim(ledger, f"{run}/work/{key}", worker, 30)
    assert lease is not None
    return lease


def row(ledger: Ledger, lease: Lease) -> Any:
    with ledger.read() as connection:
        return connection.execute(select(items).where(items.c.id == lease.item_id)).one()


def shift(ledger: Ledger, lease: Lease, **seconds: float) -> None:
    """Lets time pass for one item: moves its times into the past."""
    with ledger.write() as connection:
        moved = {name: items.c[name] - by for name, by in seconds.items()}
        connection.execute(update(items).where(items.c.id == lease.item_id).values(**moved))


def test_an_item_is_claimed_once(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run()
    lease = take(ledger, run)
    assert (lease.fence, lease.payload, lease.service) == (1, {"n": 0}, "searcher")
    assert claim(ledger, lease.item_id, "other", 30) is None
    assert claim(ledger, "no/such/item", "other", 30) is None


def test_a_result_and_its_state_are_one(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run()
    lease = take(ledger, run)
    save_partial(ledger, lease, 0, {"round": 0})
    commit(ledger, lease, Result([NewRecord("tree", "p0", {"nodes": 3})], NewModel("file:///m", {"a": 1}), {"nodes": 3}))
    assert row(ledger, lease).state == ItemState.DONE
    assert list(iterate_records(ledger, run, "work", "tree")) == [{"nodes": 3}]
    assert model_uri(ledger, run, "work") == "file:///m"
    assert load_partials(ledger, lease.item_id) == []
    assert [(e.type, e.body) for e in read_events(ledger, run_id=run)][-1] == ("item.done", {"item": "0", "nodes": 3})


@pytest.mark.parametrize(
    "late",
    [
        lambda ledger, lease: commit(ledger, lease, Result([NewRecord("tree", "p0", {})])),
        lambda ledger, lease: commit(ledger, lease, Result([NewRecord("tree", str(n), {}) for n in range(MAX_ROWS + 1)])),
        lambda ledger, lease: fail(ledger, lease, "late"),
        lambda ledger, lease: lose(ledger, lease),
        lambda ledger, lease: save_partial(ledger, lease, 9, {}),
        lambda ledger, lease: report_progress(ledger, lease, {}),
        lambda ledger, lease: forgive(ledger, lease),
    ],
    ids=["commit", "bulk commit", "fail", "lose", "save", "progress", "forgive"],
)
@pytest.mark.parametrize("ending", ["swept", "swept and taken", "cancelled", "paused", "done", "deleted"])
def test_an_outdated_fence_changes_nothing(ledger: Ledger, new_run: NewRun, late: Callable[..., Any], ending: str) -> None:
    run = new_run()
    lease = take(ledger, run)
    if ending.startswith("swept"):
        shift(ledger, lease, lease_until=60)
        assert sweep(ledger) == [lease.item_id]
        if ending.endswith("taken"):
            take(ledger, run, worker="other")
    elif ending == "done":
        commit(ledger, lease, Result([NewRecord("tree", "right", {})]))
    elif ending == "paused":
        set_paused(ledger, run, True)
    else:
        cancel_run(ledger, run)
        if ending == "deleted":
            delete_run(ledger, run)
    records_before, events_before = count_records(ledger, run), read_events(ledger)
    with pytest.raises(LeaseLost):
        late(ledger, lease)
    release(ledger, lease)
    assert (count_records(ledger, run), read_events(ledger)) == (records_before, events_before)
    if ending == "swept and taken":
        assert row(ledger, lease).worker == "other"


def test_usage_is_kept_whatever_the_fence(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run()
    lease = take(ledger, run)
    shift(ledger, lease, lease_until=60)
    sweep(ledger)
    append_usage(ledger, lease, [UsageRow("policy", "m", 1, 10, 20, 0.5)])
    append_usage(ledger, take(ledger, run), [UsageRow("policy", "m", 1, 10, 20, 0.5)])
    (sums,) = run_usage(ledger, run)
    assert (sums.role, sums.requests, sums.prompt_tokens, sums.completion_tokens, sums.cost) == ("policy", 2, 20, 40, 1.0)


def test_more_records_than_a_transaction_holds_are_published_at_once(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run()
    first = take(ledger, run)
    many = [NewRecord("tree", f"{n:05}", {"n": n}) for n in range(2 * MAX_ROWS + 7)]
    commit(ledger, first, Result(many))
    assert count_records(ledger, run) == {("work", "tree"): len(many)}
    assert [body["n"] for body in iterate_records(ledger, run, "work", "tree")] == list(range(len(many)))


def test_staged_records_of_a_lost_attempt_never_show(ledger: Ledger, new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run()
    lease = take(ledger, run)
    import shared.ledger.items as module

    real, calls = module.hold, []

    def dies_later(*arguments: Any, **values: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt  # the worker is killed between staging and publishing
        return real(*arguments, **values)

    monkeypatch.setattr(module, "hold", dies_later)
    with pytest.raises(KeyboardInterrupt):
        commit(ledger, lease, Result([NewRecord("tree", f"{n:05}", {}) for n in range(MAX_ROWS + 1)]))
    monkeypatch.undo()
    assert record_keys(ledger, run, "work", "tree") == []
    shift(ledger, lease, lease_until=60)
    sweep(ledger)
    again = take(ledger, run)
    commit(ledger, again, Result([NewRecord("tree", "only", {})]))
    assert [r.key for r in page_records(ledger, run)] == ["only"]


def test_failures_wait_longer_each_time_and_end_dead_with_their_error(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run()
    waits = []
    for attempt in range(3):
        lease = take(ledger, run)
        assert fail(ledger, lease, f"error {attempt}") == (ItemState.DEAD if attempt == 2 else ItemState.QUEUED)
        with ledger.read() as connection:
            waits.append(connection.execute(select(items.c.not_before - now()).where(items.c.id == lease.item_id)).scalar_one())
        assert claim(ledger, lease.item_id, "w", 30) is None, "it waits first"
        shift(ledger, lease, not_before=120)
    assert waits[0] < waits[1] < waits[2]
    dead = row(ledger, lease)
    assert (dead.state, dead.attempts, dead.error, dead.lost) == (ItemState.DEAD, 3, "error 2", 0)
    assert claim(ledger, lease.item_id, "w", 30) is None


def test_a_hopeless_item_is_dead_at_once(ledger: Ledger, new_run: NewRun) -> None:
    lease = take(ledger, new_run())
    assert fail(ledger, lease, "no such model", hopeless=True) == ItemState.DEAD


def test_no_item_dies_of_killed_workers(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run(max_attempts=1)
    for killed in range(12):
        lease = take(ledger, run, worker=f"w{killed}")
        shift(ledger, lease, lease_until=60)
        assert sweep(ledger) == [lease.item_id]
        shift(ledger, lease, not_before=120)
    found = row(ledger, lease)
    assert (found.state, found.lost, found.attempts, found.error) == (ItemState.QUEUED, 12, 0, None)


@pytest.mark.parametrize(
    "lasting",
    [forgive, lambda ledger, lease: save_partial(ledger, lease, 0, {"round": 0}, forgiving=True)],
    ids=["forgive", "save"],
)
def test_what_lasts_forgives_the_losses_before_it(ledger: Ledger, new_run: NewRun, lasting: Callable[..., Any]) -> None:
    """Suspected of killing its workers is an item that dies again and again at the same place, not one that gets on in between."""
    run = new_run(count=1)

    def lost_since() -> int:
        (candidate,) = candidates(ledger, "searcher", run, "", 0, 1)
        return candidate.lost

    for killed in range(3):
        lease = take(ledger, run)
        lose(ledger, lease)
        shift(ledger, lease, not_before=120)
        assert lost_since() == killed + 1
    lease = take(ledger, run)
    save_partial(ledger, lease, 9, {"a part": "of several beside each other"})
    assert row(ledger, lease).forgiven == 0
    lasting(ledger, lease)
    shift(ledger, lease, lease_until=60)
    assert sweep(ledger) == [lease.item_id]
    assert lost_since() == 1, "its last death alone counts"
    assert row(ledger, lease).lost == 4, "and all of them are told"
    assert claim(ledger, lease.item_id, "w", 30), "after a first loss nothing waits"


def test_a_hung_item_is_given_up_and_counts_as_failed(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run(max_attempts=2)
    for expected in (ItemState.QUEUED, ItemState.DEAD):
        lease = take(ledger, run)
        shift(ledger, lease, deadline_at=1e6)
        assert renew(ledger, "w", 30, {lease.item_id}) == set(), "past its deadline it is not renewed"
        release(ledger, lease)
        assert row(ledger, lease).state == ItemState.RUNNING, "giving back would hide the hang"
        shift(ledger, lease, lease_until=60)
        sweep(ledger)
        assert row(ledger, lease).state == expected
        shift(ledger, lease, not_before=120)
    assert "deadline" in row(ledger, lease).error


def test_renewing_is_one_statement_for_all_and_tells_what_is_gone(ledger: Ledger, new_run: NewRun) -> None:
    run, other = new_run(), new_run()
    held = [take(ledger, run, "0"), take(ledger, run, "1"), take(ledger, other, "0")]
    stranger = take(ledger, run, "2", worker="stranger")
    cancel_run(ledger, other)
    shift(ledger, held[0], lease_until=25)
    mine = {lease.item_id for lease in held}
    assert renew(ledger, "w", 30, mine) == {(lease.item_id, 1) for lease in held[:2]}
    assert row(ledger, held[0]).lease_until == pytest.approx(row(ledger, held[1]).lease_until)
    assert renew(ledger, "stranger", 30, {stranger.item_id}) == {(stranger.item_id, 1)}


def test_what_a_worker_does_not_name_is_not_renewed(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run()
    kept, forgotten = take(ledger, run, "0"), take(ledger, run, "1")
    for lease in (kept, forgotten):
        shift(ledger, lease, lease_until=60)
    assert renew(ledger, "w", 30, {kept.item_id}) == {(kept.item_id, 1)}
    assert renew(ledger, "w", 30, set()) == set()
    assert sweep(ledger) == [forgotten.item_id]


def test_releasing_costs_nothing(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run()
    lease = take(ledger, run)
    save_partial(ledger, lease, 0, {"round": 0})
    release(ledger, lease)
    again = take(ledger, run)
    assert (again.fence, again.attempts, again.lost) == (2, 0, 0)
    assert load_partials(ledger, again.item_id) == [{"round": 0}]
