"""`python -m services.gateway.main [--host 127.0.0.1] [--port 8000]`: serves the gateway until SIGTERM."""

import argparse

import uvicorn
from fastapi import FastAPI

from services.gateway.app import create_app
from shared.settings import settings
from shared.telemetry import start_telemetry

GRACE_SECONDS = 10
"""How long open requests have to finish when the server stops."""


class Server(uvicorn.Server):
    """Ends event streams first when told to stop: the server waits for open responses, and they would never end."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: object = None) -> None:
        """Stops taking connections, ends streams, waits for what is open."""
        self._app.state.hub.close()
        await super().shutdown(sockets)  # type: ignore[arg-type]


def serve(host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    app = create_app()
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level=settings().log_level,
        access_log=settings().log_level == "debug",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    Server(config, app).run()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway.main", description="The HTTP API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    chosen = parser.parse_args()
    start_telemetry("gateway")
    serve(chosen.host, chosen.port)


if __name__ == "__main__":
    main()
