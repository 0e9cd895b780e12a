"""`python -m services.conductor.main`: one acts, others stand by; all it knows is in the ledger, so it can die at any moment."""

import os
import secrets
import signal
import socket
import threading

import structlog
from sqlalchemy.exc import DBAPIError

from services.conductor.dispatch import dispatch
from services.conductor.reconcile import reconcile
from shared.ledger.database import Ledger
from shared.ledger.locks import CONDUCTOR, acquire_lock, release_lock
from shared.ledger.setbacks import sweep
from shared.settings import settings
from shared.telemetry import start_telemetry

LOCK_SECONDS = 10.0

log = structlog.get_logger()


def main() -> None:
    """Runs until SIGTERM."""
    start_telemetry("conductor")
    ledger = Ledger(settings().database_url)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    acting = False
    while not stopping.is_set():
        try:
            held = acquire_lock(ledger, CONDUCTOR, name, LOCK_SECONDS)
            if held != acting:
                log.info("acting" if held else "standing by", name=name)
            acting = held
            if acting:
                step(ledger)
        except DBAPIError as error:
            # the ledger may be away for a while; nothing is held in memory, so the next pass starts afresh
            log.error("the ledger refused", error=str(error.orig))
        except Exception:
            log.exception("pass failed")
        stopping.wait(settings().conductor_interval)
    release_lock(ledger, CONDUCTOR, name)


def step(ledger: Ledger) -> None:
    """One pass: what was lost goes back to the queue, runs move on, queues are rung."""
    for item in sweep(ledger):
        log.warning("lease ran out", item=item)
    reconcile(ledger)
    dispatch(ledger, settings())


if __name__ == "__main__":
    main()
