"""Metrics for Prometheus: requests as this process saw them; runs and queues as the ledger counts them."""

import time
from collections.abc import Iterator

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.contracts.stages import Service
from shared.ledger.database import Ledger
from shared.ledger.tables import RunState
from shared.ledger.views import run_counts
from shared.ledger.workers import live_workers, queue_counts


class Counting:
    """Counts and times requests by method, route and status. A stream's time ends with its headers."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self.app = app
        names = ("method", "route", "status")
        self._seconds = Histogram("longthought_http_request_seconds", "Time to the answer's headers", names, registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.monotonic()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._seconds.labels(scope["method"], _route(scope), message["status"]).observe(time.monotonic() - began)
            await send(message)

        try:
            await self.app(scope, receive, counted)
        except Exception:  # answered with 500 further out
            self._seconds.labels(scope["method"], _route(scope), 500).observe(time.monotonic() - began)
            raise


def _route(scope: Scope) -> str:
    """The route's pattern, not the path: paths are without number."""
    return getattr(scope.get("route"), "path", "none")


class FromLedger(Collector):
    """Gauges that are read from the ledger when somebody asks."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """Queue depth per service and state, workers and slots per service, runs by state."""
        items = GaugeMetricFamily("longthought_items", "Work items of live runs", labels=["service", "state"])
        found = {row.service: row for row in queue_counts(self._ledger)}
        for service in Service:
            row = found.get(service)
            for state in ("queued", "rung", "running"):
                items.add_metric([service.value, state], float(getattr(row, state)) if row else 0.0)
        yield items
        workers = GaugeMetricFamily("longthought_workers", "Workers seen lately", labels=["service"])
        slots = GaugeMetricFamily("longthought_slots", "Slots of workers seen lately", labels=["service"])
        alive = live_workers(self._ledger)
        for service in Service:
            serving = [worker for worker in alive if service in worker.services.split(",")]
            workers.add_metric([service.value], len(serving))
            slots.add_metric([service.value], sum(worker.slots for worker in serving))
        yield workers
        yield slots
        runs = GaugeMetricFamily("longthought_runs", "Runs", labels=["state"])
        counts = run_counts(self._ledger)
        for name in [*RunState, "paused"]:
            runs.add_metric([str(name)], counts.get(str(name), 0))
        yield runs


def add_metrics(app: FastAPI, registry: CollectorRegistry) -> None:
    """Counts the requests of `app`, and answers /metrics."""
    app.add_middleware(Counting, registry=registry)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(await run_in_threadpool(generate_latest, registry), media_type=CONTENT_TYPE_LATEST)
