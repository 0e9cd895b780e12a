"""The ledger's tables. Times are seconds since 1970 on the database's clock; states are the enumerations below."""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()
Json = JSON()
"""Kept as written, on PostgreSQL too: JSONB would change the order of a recipe's stages, and refuse a NUL in a sampled text."""
Serial = BigInteger().with_variant(Integer(), "sqlite")


class RunState(StrEnum):
    """A run's life: checking -> running -> done | failed | cancelled, or checking -> rejected. Pausing is a flag beside it."""

    CHECKING = "checking"
    """Preflight: every model and endpoint proves that it resolves and answers."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    """Preflight failed; nothing was started."""
    CANCELLED = "cancelled"


ENDED = (RunState.DONE, RunState.FAILED, RunState.REJECTED, RunState.CANCELLED)
LIVE = (RunState.CHECKING, RunState.RUNNING)


class StageState(StrEnum):
    """waiting (for what it needs) -> open -> done | failed | cancelled."""

    WAITING = "waiting"
    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    """queued -> running -> done | dead | cancelled; back to queued when released, failed with attempts left, or lost."""

    STAGED = "staged"
    """Of a stage that is being opened: nobody's yet (opening.py)."""
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    """Failed `max_attempts` times; its last error is kept."""
    CANCELLED = "cancelled"


def _text(name: str, **kw: Any) -> Column[str]:
    return Column(name, String(300), **kw)


api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Serial, primary_key=True),
    _text("name", nullable=False),
    _text("digest", nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
)

problem_sets = Table(
    "problem_sets",
    metadata,
    _text("name", primary_key=True),
    Column("count", Integer, nullable=False),
    Column("ready", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
)

problems = Table(
    "problems",
    metadata,
    _text("set_name", primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    _text("key", nullable=False),
    Column("body", Json, nullable=False),
    UniqueConstraint("set_name", "key"),
    ForeignKeyConstraint(["set_name"], ["problem_sets.name"], ondelete="CASCADE"),
)

runs = Table(
    "runs",
    metadata,
    _text("id", primary_key=True),
    _text("name", nullable=False),
    Column("recipe", Json, nullable=False),
    _text("state", nullable=False, index=True),
    Column("paused", Boolean, nullable=False, default=False),
    Column("reason", Text),
    Column("spend_cap", Float),  # US dollars; spent and held are counted where there is one: see spending.py
    Column("spent", Float, nullable=False, server_default="0"),
    Column("held", Float, nullable=False, server_default="0"),
    _text("idempotency_key", unique=True),
    _text("request_digest"),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
)

stages = Table(
    "stages",
    metadata,
    _text("run_id", primary_key=True),
    _text("name", primary_key=True),
    Column("place", Integer, nullable=False),
    _text("kind", nullable=False),
    Column("needs", Json, nullable=False),
    _text("state", nullable=False),
    Column("reason", Text),
    Column("max_dead", Integer, nullable=False),
    Column("opened_at", Float),
    Column("closed_at", Float),
    ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
)

items = Table(
    "items",
    metadata,
    _text("id", primary_key=True),  # <run>/<stage>/<key>: the name that messages carry
    _text("run_id", nullable=False),
    _text("stage", nullable=False),
    _text("key", nullable=False),
    Column("place", Integer, nullable=False),
    Column("phase", Integer, nullable=False),  # a stage's closing item is of phase 1: rung when all of phase 0 are through
    _text("service", nullable=False),
    Column("engine_set", Text, nullable=False),  # the local models the item needs, '' for none
    Column("payload", Json, nullable=False),
    _text("state", nullable=False),
    Column("fence", Integer, nullable=False),
    _text("worker"),
    Column("lease_until", Float),
    Column("deadline_seconds", Float, nullable=False),
    Column("deadline_at", Float),
    Column("attempts", Integer, nullable=False),  # failed ones; lost leases are counted apart
    Column("max_attempts", Integer, nullable=False),
    Column("lost", Integer, nullable=False),
    Column("forgiven", Integer, nullable=False, server_default="0"),  # of those, before it last did anything that lasts
    Column("not_before", Float, nullable=False),
    Column("rung_at", Float),
    Column("error", Text),
    Column("progress", Json),
    Column("started_at", Float),
    Column("ended_at", Float),
    UniqueConstraint("run_id", "stage", "key"),
    ForeignKeyConstraint(["run_id", "stage"], ["stages.run_id", "stages.name"], ondelete="CASCADE"),
    Index("items_by_stage", "run_id", "stage", "state", "phase"),
    Index("items_by_state", "state", "service", "lease_until"),
    Index("items_by_worker", "worker", "state"),
)

partials = Table(  # work of an unfinished item, saved on the way (a tree's rounds, say)
    "partials",
    metadata,
    _text("item_id", primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("fence", Integer, nullable=False),
    Column("body", Json, nullable=False),
    ForeignKeyConstraint(["item_id"], ["items.id"], ondelete="CASCADE"),
)

records = Table(
    "records",
    metadata,
    Column("id", Serial, primary_key=True),
    _text("run_id", nullable=False),
    _text("stage", nullable=False),
    _text("item_id", nullable=False),
    Column("fence", Integer, nullable=False),
    _text("kind", nullable=False),
    _text("key", nullable=False),
    Column("body", Json, nullable=False),
    Column("published", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("item_id", "fence", "kind", "key"),
    ForeignKeyConstraint(["item_id"], ["items.id"], ondelete="CASCADE"),
    Index("records_by_stage", "run_id", "stage", "kind", "published", "id"),
    Index("records_by_key", "run_id", "stage", "kind", "key", "published"),  # holds all that `record_keys` asks for
)

models = Table(  # checkpoints that train stages made
    "models",
    metadata,
    _text("run_id", primary_key=True),
    _text("name", primary_key=True),  # the train stage's name
    Column("uri", Text, nullable=False),
    Column("body", Json, nullable=False),
    Column("created_at", Float, nullable=False),
    ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
)

usage = Table(  # appended whatever the fence: tokens were paid for
    "usage",
    metadata,
    Column("id", Serial, primary_key=True),
    _text("run_id", nullable=False, index=True),
    _text("stage", nullable=False),
    _text("item_id", nullable=False),
    Column("fence", Integer, nullable=False),
    _text("role", nullable=False),
    Column("model", Text, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),
    Column("cached", Integer, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
    ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
)

answers = Table(  # of endpoints, by a digest of what was asked
    "answers",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("body", Json, nullable=False),
    Column("created_at", Float, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("xid", BigInteger, nullable=False),  # the writing transaction on PostgreSQL, 0 on SQLite: see events.py
    _text("run_id", nullable=False),
    _text("stage"),
    _text("type", nullable=False),
    Column("body", Json, nullable=False),
    Column("created_at", Float, nullable=False),
    ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
    Index("events_in_order", "xid", "id"),
    Index("events_by_run", "run_id", "xid", "id"),
    sqlite_autoincrement=True,  # else SQLite gives the ids of a deleted run's events again, behind the cursors of whoever watches
)

locks = Table(  # the conductor's, and one per device
    "locks",
    metadata,
    _text("name", primary_key=True),
    _text("holder", nullable=False),
    Column("until", Float, nullable=False),
    Column("wanted_until", Float, nullable=False),  # somebody else waits for it
)

pools = Table(  # the engine set that each group of queues now serves
    "pools",
    metadata,
    _text("name", primary_key=True),
    Column("engine_set", Text, nullable=False),
    Column("since", Float, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    _text("name", primary_key=True),
    _text("services", nullable=False),
    Column("slots", Integer, nullable=False),
    Column("seen_at", Float, nullable=False),
)
