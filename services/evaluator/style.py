"""What the plots of a report share: palette, size, heading, and no more ink than the reading needs."""

import io
import re
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from shared.contracts.report import RunReport

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#5F6B3A")
"""Okabe and Ito's palette (yellow left out, two added): told apart by colour-blind eyes; in the order of the recipe's models."""
INK, FAINT, QUIET = "#22262B", "#8A929C", "#555C66"
SIZE_INCHES = (7.6, 4.9)
DPI = 200


def colours(names: Iterable[str]) -> list[str]:
    """A colour for each model. Where there are more models than colours, those whose names differ by a number at their end alone
    (a training's seeds: `journey-1`, `journey-2`) share one; what is beyond the eighth begins again.
    """
    listed = list(names)
    if len(listed) > len(COLOURS):
        listed = [re.sub(r"-\d+$", "", name) for name in listed]
    places = {name: place for place, name in enumerate(dict.fromkeys(listed))}
    return [COLOURS[places[name] % len(COLOURS)] for name in listed]


def png(figure: Figure) -> bytes:
    """The drawn figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def accuracy_axis(axes: Axes, low: float, high: float) -> None:
    """The y axis in percent, for what lies between `low` and `high` percent, with room for labels; and the frame around it."""
    room = max(0.14 * (high - low), 8.0)
    bottom, top = max(-1.5, low - room), min(101.5, high + room)
    axes.set_ylim(bottom, top)
    ticks = MaxNLocator(6, integer=True).tick_values(bottom, top)
    axes.set_yticks([tick for tick in ticks if max(0, bottom) <= tick <= min(100, top)])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))
    axes.grid(axis="y", color="#E7EAEE", linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, labelcolor=INK, labelsize=9, length=0, pad=6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def token_axis(axes: Axes, title: str) -> None:
    """The x axis, in whole tokens."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel(title, color=INK, fontsize=10, labelpad=7)


def heading(figure: Figure, report: RunReport, title: str, notes: Sequence[str]) -> None:
    """What is measured, on what, under which conditions; and, below the plot, what must be known to read it (`notes` and more)."""
    conditions = next(iter(report.models.values())).conditions
    figure.text(0.035, 0.945, title, fontsize=14, fontweight="bold", color=INK, va="center")
    about = f"{report.benchmark}: {conditions.problem_count} problems × {conditions.samples} samples"
    if report.comparable:
        about += f", temperature {conditions.temperature:g}, at most {conditions.max_tokens} tokens"
    figure.text(0.035, 0.885, about, fontsize=9.5, color=QUIET, va="center")
    shown = [*notes]
    if not report.comparable:
        shown.append("measured under different conditions or on different problems: not comparable")
    if unknown := [name for name, score in report.models.items() if not score.avg_tokens]:
        shown.append(f"tokens not told, drawn at the left: {', '.join(unknown)}")
    if report.samples_missing:
        shown.append(f"{report.samples_missing} samples missing")
    figure.text(0.96, 0.025, " · ".join(shown), fontsize=8, color=QUIET, ha="right", va="center")
