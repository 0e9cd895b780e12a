"""The application: its rooms, its start and its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, Depends, FastAPI
from prometheus_client import CollectorRegistry

from services.gateway import events, operations, problems, pruning, records, reports, runs, scores
from services.gateway.dependencies import require_key
from services.gateway.errors import add_handlers
from services.gateway.hub import Hub
from services.gateway.metrics import FromLedger, add_metrics
from shared.ledger.database import Ledger
from shared.ledger.keys import register_key
from shared.settings import settings


def create_app() -> FastAPI:
    """The gateway on the ledger that the settings name. Brings the ledger's schema up to date and registers the bootstrap key."""
    registry = CollectorRegistry()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ledger = Ledger(settings().database_url)
        await asyncio.to_thread(ledger.migrate)
        if key := settings().bootstrap_api_key:
            await asyncio.to_thread(register_key, ledger, key, "bootstrap")
        hub = Hub(ledger)
        await hub.start()
        app.state.ledger, app.state.hub = ledger, hub
        registry.register(FromLedger(ledger))
        yield
        await hub.stop()
        ledger.close()

    app = FastAPI(
        title="longthought",
        version=version("longthought"),
        description="Problem sets in, runs of recipes, long thoughts, checkpoints and reports out.",
        lifespan=lifespan,
    )
    guarded = APIRouter(prefix="/v1", dependencies=[Depends(require_key)])
    for room in (problems, runs, records, reports, scores, events, operations, pruning):
        guarded.include_router(room.router)
    app.include_router(guarded)
    app.include_router(operations.open_router)
    add_handlers(app)
    add_metrics(app, registry)
    return app
