"""Workers that die, hang, come late and race, in any order: each item's result is there exactly once, and no item dies of a
kill.
"""

import itertools
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from sqlalchemy import select, update

from shared.ledger.database import Ledger
from shared.ledger.items import Lease, LeaseLost, NewItem, NewRecord, Result, claim, commit
from shared.ledger.opening import open_stage
from shared.ledger.records import page_records
from shared.ledger.runs import NewStage, close_stage, create_run, move_run
from shared.ledger.setbacks import fail, lose, release, sweep
from shared.ledger.tables import ItemState, RunState, StageState, items

ITEMS = 2
ATTEMPTS = 3


class Workers(RuleBasedStateMachine):
    leases: Bundle[Lease] = Bundle("leases")
    numbers = itertools.count()

    @initialize()
    def begin(self) -> None:
        self.folder = TemporaryDirectory()
        self.ledger = Ledger(f"sqlite:///{Path(self.folder.name)}/ledger.db")
        self.ledger.migrate()
        self.run = create_run(self.ledger, "made", {}, [NewStage("work", "search", ())])[0]
        close_stage(self.ledger, self.run, "preflight", StageState.DONE)
        move_run(self.ledger, self.run, RunState.CHECKING, RunState.RUNNING)
        new = [NewItem(str(n), "searcher", {}, max_attempts=ATTEMPTS) for n in range(ITEMS)]
        open_stage(self.ledger, self.run, "work", new)
        self.failures: dict[str, int] = {}
        self.accepted: dict[str, int] = {}
        self.latest: dict[str, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    @rule(target=leases, item=st.integers(0, ITEMS - 1), first=st.sampled_from(["nothing", "kill"]))
    def claims(self, item: int, first: str) -> object:
        if first == "kill":  # whoever held it is thought dead, and may still come late
            self.time_passes_and_leases_run_out()
        lease = claim(self.ledger, f"{self.run}/work/{item}", f"w{next(self.numbers)}", 30)
        if lease is None:
            return multiple()
        self.latest[lease.item_id] = lease.fence
        return lease

    @rule(lease=leases)
    def commits_perhaps_late_perhaps_twice(self, lease: Lease) -> None:
        try:
            commit(self.ledger, lease, Result([NewRecord("tree", lease.key, {"fence": lease.fence})]))
            assert lease.item_id not in self.accepted, "a second result was taken"
            assert lease.fence == self.latest[lease.item_id], "a result came in under an outdated fence"
            self.accepted[lease.item_id] = lease.fence
        except LeaseLost:
            pass  # right for an outdated fence: the invariant below sees that nothing was changed

    @rule(item=st.integers(0, ITEMS - 1))
    def comes_late_while_another_works(self, item: int) -> None:
        """The very case that fences are for: thought dead, replaced, and then there after all."""
        self.waits_pass()
        name = f"{self.run}/work/{item}"
        late = claim(self.ledger, name, f"w{next(self.numbers)}", 30)
        if late is None:
            return  # done, dead, or in another's hands
        self.time_passes_and_leases_run_out()
        self.waits_pass()
        other = claim(self.ledger, name, f"w{next(self.numbers)}", 30)
        assert other is not None
        self.latest[name] = other.fence
        self.commits_perhaps_late_perhaps_twice(late)

    @rule(lease=consumes(leases))
    def fails(self, lease: Lease) -> None:
        try:
            fail(self.ledger, lease, "error")
            self.failures[lease.item_id] = self.failures.get(lease.item_id, 0) + 1
        except LeaseLost:
            pass  # as above

    @rule(lease=leases, how=st.sampled_from(["release", "engine"]))
    def gives_back(self, lease: Lease, how: str) -> None:
        with suppress(LeaseLost):
            release(self.ledger, lease) if how == "release" else lose(self.ledger, lease)

    @rule()
    def time_passes_and_leases_run_out(self) -> None:
        with self.ledger.write() as connection:
            connection.execute(update(items).values(lease_until=items.c.lease_until - 60, not_before=0.0))
        sweep(self.ledger)

    @rule()
    def waits_pass(self) -> None:
        with self.ledger.write() as connection:
            connection.execute(update(items).values(not_before=0.0))

    @invariant()
    def every_result_is_there_exactly_once(self) -> None:
        if not hasattr(self, "run"):
            return
        with self.ledger.read() as connection:
            rows = connection.execute(select(items)).all()
        found = {(record.item_id, record.fence) for record in page_records(self.ledger, self.run)}
        assert found == set(self.accepted.items())
        for row in rows:
            assert (row.state == ItemState.DONE) == (row.id in self.accepted)
            assert row.attempts == self.failures.get(row.id, 0)
            assert (row.state == ItemState.DEAD) == (row.attempts >= ATTEMPTS)


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=60, stateful_step_count=30)
