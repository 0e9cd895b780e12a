"""Moves runs on: opens stages whose needs are done, closes stages whose items are through, ends runs. Compare-and-set
throughout.
"""

from typing import Any

import structlog

from services.conductor.plan import CannotPlan, plan_stage
from shared.contracts.recipe import PREFLIGHT, Recipe
from shared.ledger.database import Ledger
from shared.ledger.opening import open_stage
from shared.ledger.records import count_records
from shared.ledger.runs import (
    cancel_items,
    close_stage,
    dead_items,
    get_stages,
    half_cancelled,
    live_runs,
    move_run,
    stage_counts,
)
from shared.ledger.tables import ItemState, RunState, StageState

log = structlog.get_logger()


def reconcile(ledger: Ledger) -> None:
    """One pass over all live runs, and over ended ones that were not ended wholly."""
    for run_id in half_cancelled(ledger):
        cancel_items(ledger, run_id)
    for run in live_runs(ledger):
        reconcile_run(ledger, run)


def reconcile_run(ledger: Ledger, run: Any) -> None:
    """Brings one run as far as its items allow. A pass may end at any line: the next one finds the same and goes on."""
    counts = stage_counts(ledger, run.id)
    states: dict[str, str] = {}
    for stage in get_stages(ledger, run.id):
        state, reason = StageState(stage.state), stage.reason
        if state is StageState.OPEN:
            state, reason = _try_close(ledger, run, stage, counts.get(stage.name, {}))
        elif state is StageState.WAITING and all(states[need] == StageState.DONE for need in _needs(stage)):
            state, reason = _open(ledger, run, stage)
        if state is StageState.FAILED:
            _end(ledger, run, stage.name, reason)
            return
        states[stage.name] = state
        if stage.name == PREFLIGHT and state is StageState.DONE and run.state == RunState.CHECKING:
            move_run(ledger, run.id, RunState.CHECKING, RunState.RUNNING)
            return
    if all(state == StageState.DONE for state in states.values()) and move_run(ledger, run.id, RunState.RUNNING, RunState.DONE):
        log.info("run done", run=run.id)


def _needs(stage: Any) -> list[str]:
    return [] if stage.name == PREFLIGHT else [PREFLIGHT, *stage.needs]


def _open(ledger: Ledger, run: Any, stage: Any) -> tuple[StageState, str | None]:
    try:
        new = plan_stage(ledger, run.id, Recipe.model_validate(run.recipe), stage.name)
    except CannotPlan as error:
        return _close(ledger, run, stage, str(error))
    if open_stage(ledger, run.id, stage.name, new):
        log.info("stage open", run=run.id, stage=stage.name, items=len(new))
    return StageState.OPEN, None


def _try_close(ledger: Ledger, run: Any, stage: Any, counts: dict[str, int]) -> tuple[StageState, str | None]:
    """done needs every item through, at most `max_dead` dead, and output."""
    if counts.get(ItemState.QUEUED, 0) or counts.get(ItemState.RUNNING, 0):
        return StageState.OPEN, None
    dead = counts.get(ItemState.DEAD, 0)
    if dead > stage.max_dead or (dead and not counts.get(ItemState.DONE, 0)):
        errors = dead_items(ledger, run.id, stage.name, limit=3)
        if stage.name == PREFLIGHT:
            return _close(ledger, run, stage, "; ".join(dict.fromkeys(error for _, error in errors)))  # one model, several pools
        named = "; ".join(f"{key}: {error}" for key, error in errors)
        return _close(ledger, run, stage, f"{dead} items are dead (max_dead: {stage.max_dead}): {named}")
    output = sum(count for (name, _), count in count_records(ledger, run.id).items() if name == stage.name)
    if not output and stage.name != PREFLIGHT:
        return _close(
            ledger,
            run,
            stage,
            "its items are done, but none of them left a record: their `item.done` events say what they passed over",
        )
    return _close(ledger, run, stage, None)


def _close(ledger: Ledger, run: Any, stage: Any, failure: str | None) -> tuple[StageState, str | None]:
    state = StageState.FAILED if failure else StageState.DONE
    if close_stage(ledger, run.id, stage.name, state, failure):
        log.info("stage closed", run=run.id, stage=stage.name, state=state.value, reason=failure)
    return state, failure


def _end(ledger: Ledger, run: Any, stage: str, reason: str | None) -> None:
    """A failed preflight rejects its run, any other failed stage fails it."""
    if stage == PREFLIGHT:
        move_run(ledger, run.id, RunState.CHECKING, RunState.REJECTED, reason)
    else:
        move_run(ledger, run.id, RunState.RUNNING, RunState.FAILED, f"stage {stage}: {reason}")
    log.warning("run ended", run=run.id, stage=stage, reason=reason)
