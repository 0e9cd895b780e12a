"""How a run stands, drawn: a line per stage with its bar, what is running now, and what was used."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

COLOURS = {
    "done": "green",
    "failed": "red",
    "rejected": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "running": "cyan",
    "checking": "cyan",
    "open": "cyan",
    "waiting": "dim",
}
MARKS = {"done": "✓", "failed": "✗", "cancelled": "–", "waiting": "·"}
BAR_WIDTH = 28


class Board:
    """A run's picture, with clocks that run between one status and the next. `note` is shown below it."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        self.status = status
        self.note = ""
        self._spinner = Spinner("dots", style="cyan")

    def __rich__(self) -> RenderableType:
        status, now = self.status, time.time()
        heading = Text.assemble(
            (status["id"], "bold"),
            "  ",
            state_text(status["state"]),
            "  ",
            (clock(status["created_at"], status["ended_at"], now), "dim"),
        )
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(style="bold", min_width=12, no_wrap=True)
        table.add_column(width=BAR_WIDTH)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        for name, stage in status["stages"].items():
            table.add_row(*self._row(name, stage, now))
        lines: list[RenderableType] = [heading, table]
        if status["usage"]["requests"] or status["usage"].get("cached"):
            lines.append(Text(usage_line(status["usage"], status.get("spending")), style="dim"))
        if status["reason"] and status["state"] != "cancelled":
            lines.append(Text(status["reason"], style="red"))
        if self.note:
            lines.append(Text(self.note, style="yellow"))
        return Group(*lines)

    def _row(self, name: str, stage: Mapping[str, Any], now: float) -> tuple[RenderableType, ...]:
        state = stage["state"]
        mark: RenderableType = self._spinner if state == "open" else Text(MARKS[state], style=COLOURS[state])
        if state == "waiting":
            needs = ", ".join(stage["needs"])
            return mark, Text(name, style="dim"), "", "", Text(f"after {needs}" if needs else "waiting", style="dim")
        if not stage["total"]:
            return mark, name, "", "", Text(state, style="dim")
        colour = {"failed": "red", "cancelled": "yellow"}.get(state, "green" if state == "done" else "cyan")
        bar = ProgressBar(
            total=max(stage["total"], 1), completed=advance(stage), width=BAR_WIDTH, complete_style=colour, finished_style=colour
        )
        about = Text.assemble((clock(stage["opened_at"], stage["closed_at"], now), "dim"))
        if stage["dead"]:
            about.append(f"  {stage['dead']} dead", style="red")
        if state == "open":
            about.append(details(stage))
        return mark, name, bar, f"{stage['done']}/{stage['total']}", about


def advance(stage: Mapping[str, Any]) -> float:
    """Items through, those under way counted by their share."""
    under_way = sum(figures["step"] / figures["of"] for figures in stage["progress"].values() if figures.get("of"))
    return float(min(stage["done"] + stage["dead"] + stage["cancelled"] + under_way, max(stage["total"], 1)))


def details(stage: Mapping[str, Any]) -> str:
    """What is going on in an open stage: items in hand, and the step and loss of a training."""
    parts = [f"{stage['running']} running"] if stage["running"] else ["waiting for a worker"] if stage["queued"] else []
    for figures in stage["progress"].values():
        if "loss" in figures:
            parts.append(f"step {figures['step']}/{figures['of']}  loss {figures['loss']:.3f}")
    if stage["lost"]:
        parts.append(f"{stage['lost']} leases lost")
    return "".join(f"  {part}" for part in parts)


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def usage_line(usage: Mapping[str, Any], purse: Mapping[str, Any] | None = None) -> str:
    """Tokens, cost and the spend cap in a line."""
    line = (
        f"{usage['prompt_tokens']:,} prompt and {usage['completion_tokens']:,} completion tokens in {usage['requests']:,} requests"
    )
    line += f" for ${usage['cost']:,.2f}" if usage["cost"] else ""
    line += f" of at most ${purse['cap']:,.2f}" if purse else ""
    return line + (f", {usage['cached']:,} answers from the cache" if usage.get("cached") else "")


def clock(begin: float | None, end: float | None, now: float) -> str:
    """The time between two moments (or up to now), as 3:07 or 1:02:03; '' if it has not begun."""
    if begin is None:
        return ""
    seconds = max(0, round((now if end is None else end) - begin))
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
