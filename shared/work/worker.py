"""A worker process: `python -m shared.work.worker --services searcher,evaluator --slots 64`.

Celery listens on the queues of these services with a pool of threads; each thread waits for one item, and all items run as
coroutines
of one event loop (runtime.py). On SIGTERM the items in hand are given back first, so that Celery's warm shutdown has
nothing to wait for.
"""

import argparse
import importlib
import os
from typing import Any

from celery.signals import worker_init, worker_shutdown, worker_shutting_down

import shared.work.preflight  # noqa: F401  (registers its handler)
from shared.contracts.stages import Service
from shared.queues import TASK, app
from shared.settings import settings
from shared.telemetry import start_telemetry
from shared.work.runtime import Runtime


def main() -> None:
    """Runs until SIGTERM."""
    parser = argparse.ArgumentParser(description="A longthought worker.")
    parser.add_argument("--services", required=True, help=f"queues to serve, joined by commas: {', '.join(Service)}")
    parser.add_argument("--slots", type=int, default=settings().slots, help="work items held at once")
    parser.add_argument("--cpus", help="run on these cores alone, engines and trainings included: their numbers, joined by commas")
    arguments = parser.parse_args()
    if arguments.cpus:
        os.sched_setaffinity(0, {int(number) for number in arguments.cpus.split(",")})  # before there is any thread
    services = [Service(name) for name in arguments.services.split(",")]
    start_telemetry("+".join(services))
    for service in services:
        importlib.import_module(f"services.{service}.tasks")
    runtime = Runtime(settings(), ",".join(services), arguments.slots)

    app.task(runtime.work, name=TASK, ignore_result=True)

    def start(**kw: Any) -> None:
        runtime.start()

    def stop(**kw: Any) -> None:
        runtime.stop()

    def close(**kw: Any) -> None:
        runtime.close()

    worker_init.connect(start, weak=False)
    worker_shutting_down.connect(stop, weak=False)
    worker_shutdown.connect(close, weak=False)
    options = ["worker", "-P", "threads", "-c", str(arguments.slots), "-Q", ",".join(services), "-n", f"{runtime.name}@%h"]
    app.worker_main([*options, "--without-gossip", "--without-mingle", "-l", "WARNING"])


if __name__ == "__main__":
    main()
