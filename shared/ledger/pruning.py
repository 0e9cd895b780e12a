"""What can be freed: rows that nothing refers to any more, of runs that have ended. Each kind is found, and deleted, by itself.

| kind | what goes | never |
|---|---|---|
| partials | what unfinished items had saved | while their run lives |
| attempts | records of attempts whose result was not taken | while their run lives |
| events | events of ended runs | |
| records | results of stages that no dataset, checkpoint or report of the run rests on | what one rests on |
| answers | answers of endpoints that are kept to be given again | |
| workers | workers not seen for long | |

Deleted in small transactions: a kill leaves less to be done, and nothing half.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, select

from shared.contracts.recipe import PREFLIGHT, Recipe
from shared.ledger.database import Ledger, now
from shared.ledger.items import MAX_ROWS
from shared.ledger.tables import ENDED, answers, events, items, partials, records, runs, workers

KINDS = ("partials", "attempts", "events", "records", "answers", "workers")
RESULTS = ("dataset", "checkpoint", "report", "reward_report", "curation", "selection")
"""Kinds of records that others rest on what made them."""


def ended_runs(ledger: Ledger, seconds: float, run_id: str | None = None) -> list[str]:
    """Runs that ended so long ago."""
    query = select(runs.c.id).where(runs.c.state.in_(ENDED), runs.c.ended_at <= now() - seconds)
    with ledger.read() as connection:
        return list(connection.execute(query.where(runs.c.id == run_id) if run_id else query).scalars())


def prune(ledger: Ledger, kind: str, seconds: float, run_id: str | None = None, dry: bool = True) -> int:
    """Frees rows of a kind that are so old (of a run: that ended so long ago); returns how many. `dry`: only counts them.

    Raises KeyError for an unknown kind.
    """
    return sum(_deleted(ledger, table, key, where, dry) for table, key, where in _FOUND[kind](ledger, seconds, run_id))


_Rows = tuple[Any, Any, ColumnElement[bool]]
"""A table, the column that its rows are known by, and which of them."""


def _partials(ledger: Ledger, seconds: float, run_id: str | None) -> list[_Rows]:
    return [
        (partials, partials.c.item_id, partials.c.item_id.in_(select(items.c.id).where(items.c.run_id == run)))
        for run in ended_runs(ledger, seconds, run_id)
    ]


def _attempts(ledger: Ledger, seconds: float, run_id: str | None) -> list[_Rows]:
    found = ended_runs(ledger, seconds, run_id)
    return [(records, records.c.id, and_(records.c.run_id == run, records.c.published.is_(False))) for run in found]


def _events(ledger: Ledger, seconds: float, run_id: str | None) -> list[_Rows]:
    return [(events, events.c.id, events.c.run_id == run) for run in ended_runs(ledger, seconds, run_id)]


def _records(ledger: Ledger, seconds: float, run_id: str | None) -> list[_Rows]:
    return [
        (
            records,
            records.c.id,
            and_(records.c.run_id == run, records.c.published, records.c.stage.not_in(kept_stages(ledger, run))),
        )
        for run in ended_runs(ledger, seconds, run_id)
    ]


def kept_stages(ledger: Ledger, run_id: str) -> set[str]:
    """The stages of a run that made a result, and all that these rest on."""
    made = select(records.c.stage).where(records.c.run_id == run_id, records.c.kind.in_(RESULTS), records.c.published).distinct()
    with ledger.read() as connection:
        recipe = Recipe.model_validate(connection.execute(select(runs.c.recipe).where(runs.c.id == run_id)).scalar_one())
        stages = set(connection.execute(made).scalars())
    return {PREFLIGHT, *stages, *(behind for stage in stages if stage in recipe.stages for behind in recipe.behind(stage))}


def _answers(ledger: Ledger, seconds: float, run_id: str | None) -> list[_Rows]:
    return [] if run_id else [(answers, answers.c.key, answers.c.created_at <= now() - seconds)]


def _workers(ledger: Ledger, seconds: float, run_id: str | None) -> list[_Rows]:
    return [] if run_id else [(workers, workers.c.name, workers.c.seen_at <= now() - max(seconds, 3600.0))]


_FOUND: dict[str, Callable[[Ledger, float, str | None], list[_Rows]]] = {
    "partials": _partials,
    "attempts": _attempts,
    "events": _events,
    "records": _records,
    "answers": _answers,
    "workers": _workers,
}


def _deleted(ledger: Ledger, table: Any, key: Any, where: ColumnElement[bool], dry: bool) -> int:
    if dry:
        with ledger.read() as connection:
            count: int = connection.execute(select(func.count()).select_from(table).where(where)).scalar_one()
        return count
    total = 0
    while True:
        batch: Select[Any] = select(key).where(where).distinct().limit(MAX_ROWS)
        with ledger.write() as connection:
            gone = connection.execute(delete(table).where(where, key.in_(batch.scalar_subquery()))).rowcount
        if not gone:
            return total
        total += gone
