"""What a run may spend. Before a request goes out, its greatest possible cost is held; when its answer is there, the hold becomes
the cost. The sum of both never passes the cap, whatever many workers do at once.

A hold whose request nobody saw the end of (its worker was killed, the connection broke off) stays: it may have been charged.
"""

from dataclasses import dataclass

from sqlalchemy import case, func, or_, select, update

from shared.ledger.database import Ledger
from shared.ledger.events import add_event
from shared.ledger.items import Lease
from shared.ledger.records import UsageRow, insert_usage
from shared.ledger.runs import NotInState, set_paused
from shared.ledger.tables import LIVE, runs, usage

SLACK = 1e-9
"""US dollars that sums of floating-point numbers may be off by."""


@dataclass(frozen=True)
class Spending:
    """A run's purse, in US dollars."""

    cap: float | None
    spent: float
    held: float


def spending(ledger: Ledger, run_id: str) -> Spending:
    """How a run's purse stands; without a cap nobody keeps count in it."""
    with ledger.read() as connection:
        row = connection.execute(select(runs.c.spend_cap, runs.c.spent, runs.c.held).where(runs.c.id == run_id)).one()
    return Spending(row.spend_cap, row.spent, row.held)


def hold(ledger: Ledger, run_id: str, dollars: float) -> bool:
    """Sets money aside for a request; False if the cap does not allow it. Nothing is changed then."""
    fits = or_(runs.c.spend_cap.is_(None), runs.c.spent + runs.c.held + dollars <= runs.c.spend_cap + SLACK)
    with ledger.write() as connection:
        held = update(runs).where(runs.c.id == run_id, fits).values(held=runs.c.held + dollars)
        return connection.execute(held).rowcount == 1


def settle(ledger: Ledger, lease: Lease, dollars: float, row: UsageRow | None) -> None:
    """Turns a hold into what the answer cost, and appends its usage; without one (a refusal), gives it back."""
    with ledger.write() as connection:
        left = runs.c.held - dollars
        values = {"held": case((left < SLACK, 0.0), else_=left), "spent": runs.c.spent + (row.cost if row else 0.0)}
        connection.execute(update(runs).where(runs.c.id == lease.run_id).values(values))
        if row is not None:
            insert_usage(connection, lease, [row])


def pause_at_cap(ledger: Ledger, run_id: str, wanted: float) -> None:
    """Pauses a run that has no room left for a request of `wanted` dollars, and says why."""
    found = spending(ledger, run_id)
    held = f" and ${found.held:,.4f} set aside for requests whose end nobody saw" if found.held else ""
    reason = (
        f"spend cap: ${found.spent:,.4f} of ${found.cap or 0:,.4f} are spent{held}; the next request may cost ${wanted:,.4f}. "
        "Raise the cap to go on: `longthought resume RUN --spend-cap DOLLARS`"
    )
    with ledger.write() as connection:
        live = update(runs).where(runs.c.id == run_id, runs.c.state.in_(LIVE), runs.c.paused.is_(False)).values(reason=reason)
        if connection.execute(live).rowcount != 1:
            return  # it was paused already, or it has ended
        add_event(connection, run_id, "run.capped", {"reason": reason, "spent": found.spent, "cap": found.cap})
    set_paused(ledger, run_id, True)


def set_cap(ledger: Ledger, run_id: str, cap: float) -> None:
    """Sets a live run's cap. Raises NotInState if the run has ended, or has spent (or may have spent) as much already."""
    with ledger.write() as connection:
        known = select(func.coalesce(func.sum(usage.c.cost), 0.0)).where(usage.c.run_id == run_id).scalar_subquery()
        spent = connection.execute(select(known)).scalar_one()
        held = connection.execute(select(runs.c.held).where(runs.c.id == run_id)).scalar_one()
        if spent + held >= cap:
            raise NotInState(f"run {run_id} has spent ${spent:,.4f} (and may have spent ${held:,.4f} more): give a higher cap")
        live = update(runs).where(runs.c.id == run_id, runs.c.state.in_(LIVE)).values(spend_cap=cap, spent=spent)
        if connection.execute(live).rowcount != 1:
            raise NotInState(f"run {run_id} has ended already")
        add_event(connection, run_id, "run.cap", {"cap": cap})
