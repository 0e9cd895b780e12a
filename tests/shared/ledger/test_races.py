"""Real threads on real databases: whoever races, one wins."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from shared.ledger.database import Ledger
from shared.ledger.items import Lease, NewRecord, Result, claim, commit, renew
from shared.ledger.locks import acquire_lock
from shared.ledger.records import record_keys
from shared.ledger.ringing import mark_rung
from shared.ledger.runs import NewStage, create_run, set_paused
from shared.ledger.setbacks import sweep

NewRun = Callable[..., str]


def test_workers_racing_for_the_same_items(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run(20)

    def worker(name: str) -> list[Lease]:
        won = [claim(ledger, f"{run}/work/{n}", name, 30) for n in range(20)]
        for lease in filter(None, won):
            commit(ledger, lease, Result([NewRecord("tree", lease.key, {})]))
        return [lease for lease in won if lease]

    with ThreadPoolExecutor(6) as pool:
        won = [lease.key for leases in pool.map(worker, "abcdef") for lease in leases]
    assert Counter(won) == Counter(str(n) for n in range(20))
    assert record_keys(ledger, run, "work", "tree") == sorted(str(n) for n in range(20))


def test_racing_for_a_lock(ledger: Ledger) -> None:
    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(lambda name: acquire_lock(ledger, "conductor", name, 30), "abcdef"))
    assert sum(won) == 1


def test_racing_posts_with_one_idempotency_key(ledger: Ledger) -> None:
    def post(number: int) -> tuple[str, bool]:
        return create_run(ledger, "made", {}, [NewStage("work", "search", ())], "key", "digest")

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(post, range(6)))
    assert len({run for run, _ in made}) == 1
    assert sum(created for _, created in made) == 1


def test_statements_over_many_items_never_deadlock(ledger: Ledger, new_run: NewRun) -> None:
    """A worker renews, the conductor rings and sweeps, the gateway pauses: all at once, over the same rows."""
    run = new_run(100)
    names = [f"{run}/work/{n}" for n in range(100)]

    def claims_and_renews(worker: str) -> None:
        for name in names if worker < "c" else reversed(names):
            claim(ledger, name, worker, 0)
            renew(ledger, worker, 0, names)

    def rings_and_sweeps(conductor: str) -> None:
        for _ in range(40):
            mark_rung(ledger, names[::-1])
            sweep(ledger)

    def pauses(gateway: str) -> None:
        for _ in range(40):
            set_paused(ledger, run, True)
            set_paused(ledger, run, False)

    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(claims_and_renews, worker) for worker in "abcd"]
        jobs += [pool.submit(rings_and_sweeps, "conductor"), pool.submit(pauses, "gateway")]
        for job in jobs:
            job.result()
