"""The connection to the ledger, on SQLite (WAL) and PostgreSQL alike, and the database's own clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Float, create_engine, event, func, make_url, select
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from shared.ledger.written import NotJson, as_json

BUSY_SECONDS = 60.0
MIGRATION_LOCK = 0x6C6F6E67
"""PostgreSQL's advisory lock of whoever migrates: an arbitrary number of our own."""


class now(FunctionElement[float]):
    """The database's time in seconds since 1970: the only clock that leases and windows are measured on."""

    type = Float()
    inherit_cache = True


@compiles(now, "sqlite")
def _sqlite_now(element: now, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _postgresql_now(element: now, compiler: Any, **kw: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


class Ledger:
    """One database. `read()` and `write()` give a connection inside a transaction; `write()` takes SQLite's write lock at once."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqlite = make_url(url).get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(url) if self.sqlite else _postgresql_engine(url)
        self._writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads: on SQLite one consistent view, on PostgreSQL one a statement."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write; rolled back on any error. Raises NotJson for a value that JSON has no form for."""
        try:
            with self._writer.begin() as connection:
                yield connection
        except StatementError as error:
            if isinstance(error.orig, NotJson):
                raise error.orig from None  # says it without the statement and all its parameters
            raise

    def migrate(self) -> None:
        """Brings the schema to the newest version; a no-op where it is. Of several processes that start at once, one does it."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.write() as connection:
            if not self.sqlite:  # SQLite's write lock is held already
                connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Returns all pooled connections."""
        self._engine.dispose()


def _postgresql_engine(url: str) -> Engine:
    """Nothing waits for ever: a server that is gone, a lock that is not given back, a transaction that was forgotten all end."""
    limits = {"statement_timeout": "60s", "lock_timeout": "30s", "idle_in_transaction_session_timeout": "60s"}
    arguments = {
        "connect_timeout": 10,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
    }
    return create_engine(url, connect_args=arguments, pool_pre_ping=True, pool_size=8, max_overflow=16, json_serializer=as_json)


def _sqlite_engine(url: str) -> Engine:
    database = make_url(url).database
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
        pool_size=16,
        max_overflow=48,
        json_serializer=as_json,
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={int(BUSY_SECONDS * 1000)}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # The driver's own BEGIN is off (isolation_level None): a deferred one fails with SQLITE_BUSY when a reader turns writer.
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine
