"""Locks: one holder at a time; what expired is free; who waits can be seen."""

from sqlalchemy import update

from shared.ledger.database import Ledger
from shared.ledger.locks import acquire_lock, lock_wanted, release_lock
from shared.ledger.tables import locks


def test_one_holds_and_others_stand_by(ledger: Ledger) -> None:
    assert acquire_lock(ledger, "conductor", "a", 30)
    assert acquire_lock(ledger, "conductor", "a", 30), "renewing one's own"
    assert not acquire_lock(ledger, "conductor", "b", 30)
    assert acquire_lock(ledger, "device", "b", 30), "another lock is another matter"
    release_lock(ledger, "conductor", "b")
    assert not acquire_lock(ledger, "conductor", "b", 30), "one cannot release another's"
    release_lock(ledger, "conductor", "a")
    assert acquire_lock(ledger, "conductor", "b", 30)


def test_an_expired_lock_is_free(ledger: Ledger) -> None:
    acquire_lock(ledger, "conductor", "a", 30)
    with ledger.write() as connection:
        connection.execute(update(locks).values(until=locks.c.until - 60))
    assert acquire_lock(ledger, "conductor", "b", 30)
    assert not acquire_lock(ledger, "conductor", "a", 30)


def test_wanting_is_seen_by_the_holder(ledger: Ledger) -> None:
    acquire_lock(ledger, "device", "a", 30)
    assert not lock_wanted(ledger, "device")
    assert not acquire_lock(ledger, "device", "b", 30, want=True)
    assert lock_wanted(ledger, "device")
