"""Waiting for a run: bars on a terminal, sparse lines elsewhere. A gateway that is being restarted is waited for."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.live import Live

from services.cli.board import Board, advance, details
from services.cli.terminal import err, say
from shared.client import ENDED, ApiError, Client, GatewayAway

POLL_SECONDS = 0.5
AWAY_SECONDS = 600.0
"""How long a watched run's gateway may be away."""
LINE_SECONDS = 20.0
"""Off the terminal, an open stage is told of so often at most."""

Status = dict[str, Any]


def statuses(client: Client, run: str) -> Iterator[Status | None]:
    """How a run stands, again and again, to its end; None while the gateway does not answer (raised if that lasts)."""
    answered = time.monotonic()
    while True:
        try:
            status = client.run(run)
        except (GatewayAway, ApiError) as error:
            refused = isinstance(error, ApiError) and error.status < 500
            if refused or time.monotonic() - answered > AWAY_SECONDS:
                raise
            yield None
            continue
        answered = time.monotonic()
        yield status
        if status["state"] in ENDED:
            return
        time.sleep(POLL_SECONDS)


def wait_for_preflight(client: Client, run: str) -> Status:
    """Waits until every model proved to be there (or the run ended); returns how the run stands then."""
    with err.status("Checking models ...") as shown:
        for status in statuses(client, run):
            if status and not _checking(status):
                return status
            shown.update("Checking models ..." if status else "The gateway does not answer; waiting for it ...")
    raise AssertionError("a run's statuses end only with the run")


def _checking(status: Status) -> bool:
    """A paused run may have been paused while it was checked: then its preflight is still open."""
    return status["state"] == "checking" or (status["state"] == "paused" and bool(status["stages"]["preflight"]["state"] != "done"))


def watch(client: Client, run: str) -> Status:
    """Shows a run until it ends; returns how it stands then."""
    return _on_terminal(client, run) if err.is_terminal else _in_lines(client, run, say)


def _on_terminal(client: Client, run: str) -> Status:
    board: Board | None = None
    with Live(console=err, refresh_per_second=8) as live:
        for status in statuses(client, run):
            if status and board is None:
                board = Board(status)
                live.update(board)
            if board is not None:
                board.status = status or board.status
                board.note = "" if status else "The gateway does not answer; waiting for it (the run goes on)."
    assert board is not None
    return dict(board.status)


def _in_lines(client: Client, run: str, tell: Callable[[str], None]) -> Status:
    """A line whenever a stage opens or closes, and now and then while one is open."""
    told: dict[str, tuple[str, str, float]] = {}
    last: Status | None = None
    away = False
    for status in statuses(client, run):
        if (status is None) != away:
            away = status is None
            tell("the gateway does not answer; waiting for it" if away else "the gateway is back")
        if status is None:
            continue
        last = status
        for name, stage in status["stages"].items():
            line, now = stage_line(name, stage), time.monotonic()
            state, earlier, when = told.get(name, ("waiting", "", 0.0))
            if stage["state"] != state or (stage["state"] == "open" and line != earlier and now - when > LINE_SECONDS):
                told[name] = (stage["state"], line, now)
                tell(line)
    assert last is not None
    return last


def stage_line(name: str, stage: Mapping[str, Any]) -> str:
    """A stage in a line without colour."""
    dead = f", {stage['dead']} dead" if stage["dead"] else ""
    share = f" ({100 * advance(stage) / stage['total']:.0f}%)" if stage["total"] and stage["state"] == "open" else ""
    about = details(stage) if stage["state"] == "open" else ""
    return f"{name}: {stage['state']}, {stage['done']}/{stage['total']}{dead}{share}{about}"
