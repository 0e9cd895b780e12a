"""Named locks with an expiry: the conductor's (one acts, others stand by) and one per device (engines and trainings take turns)."""

from sqlalchemy import and_, case, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from shared.ledger.database import Ledger, now
from shared.ledger.tables import locks

CONDUCTOR = "conductor"
"""The lock of whoever moves runs on."""


def acquire_lock(ledger: Ledger, name: str, holder: str, seconds: float, want: bool = False) -> bool:
    """Takes a free or expired lock, or renews one's own, for so many seconds. With `want`, a refusal tells the holder that
    it is wanted.
    """
    mine = locks.c.holder == holder
    free = or_(mine, locks.c.until < now())
    wanted = case((mine, locks.c.wanted_until), else_=0.0)  # whoever wanted it from another holder says so again
    with ledger.write() as connection:
        taken = connection.execute(
            update(locks).where(locks.c.name == name, free).values(holder=holder, until=now() + seconds, wanted_until=wanted)
        )
        if taken.rowcount:
            return True
        if connection.execute(select(locks.c.name).where(locks.c.name == name)).one_or_none():
            if want:
                connection.execute(update(locks).where(locks.c.name == name).values(wanted_until=now() + seconds))
            return False
    try:
        with ledger.write() as connection:
            connection.execute(insert(locks).values(name=name, holder=holder, until=now() + seconds, wanted_until=0.0))
        return True
    except IntegrityError:
        return False  # another inserted it between the two transactions


def lock_wanted(ledger: Ledger, name: str) -> bool:
    """Whether somebody waits for the lock."""
    with ledger.read() as connection:
        query = select(locks.c.name).where(and_(locks.c.name == name, locks.c.wanted_until > now()))
        return connection.execute(query).one_or_none() is not None


def release_lock(ledger: Ledger, name: str, holder: str) -> None:
    """Gives one's own lock back; somebody else's is left alone."""
    with ledger.write() as connection:
        connection.execute(delete(locks).where(locks.c.name == name, locks.c.holder == holder))


def lock_holder(ledger: Ledger, name: str) -> str | None:
    """Who holds the lock now; None if nobody does."""
    with ledger.read() as connection:
        return connection.execute(select(locks.c.holder).where(locks.c.name == name, locks.c.until > now())).scalar_one_or_none()
