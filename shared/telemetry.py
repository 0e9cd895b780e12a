"""Logs (structlog) and metrics (Prometheus) of every process."""

import logging
import sys

import structlog
from prometheus_client import start_http_server

from shared.settings import settings


def start_telemetry(service: str) -> None:
    """Sets up logs on stderr, one line an event, and the metrics port if one is set."""
    chosen = settings()
    level = logging.getLevelNamesMapping()[chosen.log_level.upper()]
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if chosen.log_format == "json" else structlog.dev.ConsoleRenderer(colors=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(service=service)
    if chosen.metrics_port:
        start_http_server(chosen.metrics_port, addr="127.0.0.1" if chosen.device.startswith("local") else "0.0.0.0")
