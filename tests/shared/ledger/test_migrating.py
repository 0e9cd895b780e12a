"""Gateways that start at once: one migrates, the others wait for it."""

import itertools
import threading

from sqlalchemy import func, select, text

from shared.ledger.database import MIGRATION_LOCK, Ledger
from shared.ledger.runs import list_runs

DATABASES = itertools.count()


def test_migrating_waits_for_whoever_migrates(postgres):
    name = f"migrating{next(DATABASES)}"
    postgres.psql(f"CREATE DATABASE {name};")
    ledger = Ledger(postgres.get_uri(name).replace("postgresql://", "postgresql+psycopg://"))
    waiting = text("SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE datname = :name AND NOT granted")
    second = threading.Thread(target=ledger.migrate)
    with ledger.read() as first:
        first.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        second.start()
        while not first.execute(waiting, {"name": name}).scalar_one():
            assert second.is_alive()
    second.join()
    ledger.migrate()
    assert list_runs(ledger) == []
    ledger.close()
