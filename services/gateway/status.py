"""How a run stands, as people and scripts read it."""

from typing import Any

from sqlalchemy import Row

from shared.ledger.database import Ledger
from shared.ledger.records import run_usage
from shared.ledger.runs import get_stages, stage_counts
from shared.ledger.tables import LIVE, ItemState
from shared.ledger.views import running_progress

COUNTED = ("requests", "prompt_tokens", "completion_tokens", "cached", "cost")


def summary(run: Row[Any]) -> dict[str, Any]:
    """A run in a line: `state` is `paused` for a live run that is paused."""
    return {
        "id": run.id,
        "name": run.name,
        "state": "paused" if run.paused and run.state in LIVE else run.state,
        "reason": run.reason,
        "created_at": run.created_at,
        "ended_at": run.ended_at,
    }


def status(ledger: Ledger, run: Row[Any]) -> dict[str, Any]:
    """A run with its stages, the preflight first, and what it used so far.

    Of a stage's items: `total`, their number by state (`queued`, `running`, `done`, `dead`, `cancelled`), `lost` leases and
    `failed` attempts so far. `progress`: what its running items last said. `spending`: US dollars, of a run with a cap.
    """
    counts = stage_counts(ledger, run.id)
    progress = running_progress(ledger, run.id)
    stages = {
        stage.name: _stage(stage, counts.get(stage.name, {}), progress.get(stage.name, {})) for stage in get_stages(ledger, run.id)
    }
    purse = {"cap": run.spend_cap, "spent": run.spent, "held": run.held} if run.spend_cap is not None else None
    return {**summary(run), "stages": stages, "usage": usage(ledger, run.id), "spending": purse}


def _stage(stage: Row[Any], counts: dict[str, int], progress: dict[str, Any]) -> dict[str, Any]:
    by_state = {state.value: counts.get(state, 0) for state in ItemState if state is not ItemState.STAGED}
    return {
        "kind": stage.kind,
        "state": stage.state,
        "reason": stage.reason,
        "needs": stage.needs,
        "total": sum(by_state.values()),
        **by_state,
        "lost": counts.get("lost", 0),
        "failed": counts.get("failed", 0),
        "max_dead": stage.max_dead,
        "opened_at": stage.opened_at,
        "closed_at": stage.closed_at,
        "progress": progress,
    }


def usage(ledger: Ledger, run_id: str) -> dict[str, Any]:
    """Requests, tokens and US dollars: in all, and by stage, role and model."""
    rows = [{column: getattr(row, column) for column in ("stage", "role", "model", *COUNTED)} for row in run_usage(ledger, run_id)]
    for row in rows:
        row |= {column: int(row[column]) for column in COUNTED[:-1]}  # PostgreSQL sums whole numbers as decimals
    rows.sort(key=lambda row: (row["stage"], row["role"], row["model"]))
    return {**{column: sum(row[column] for row in rows) for column in COUNTED}, "by": rows}
