"""The plot of a report: accuracy against average output tokens, one point a model, named where it stands."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from shared.contracts.report import ModelScore, RunReport

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#5F6B3A")
"""Okabe and Ito's palette (yellow left out, two added): told apart by colour-blind eyes; in the order of the recipe's models."""
INK, FAINT = "#22262B", "#8A929C"
SIZE_INCHES = (7.6, 4.9)
DPI = 200
NEAR = ((14, 0), (-14, 0), (0, 17), (0, -17), (12, 14), (12, -14), (-12, 14), (-12, -14))
FAR = tuple((side * 30, -height) for height in (10, 22, 34, 46, 58, 70, -10, -22, -34, -46) for side in (1, -1))
"""Where a label may stand, in points from its point, best first: beside it, or farther off with a line that leads to it."""
_LINE: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 5}
OUTSIDE = 5
"""How much worse it is to leave the axes than to cover something."""


def draw(report: RunReport) -> bytes:
    """The plot as PNG. Error bars are one standard error; labels keep clear of points, bars and each other."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.15, 0.87, 0.66))
    scores = list(report.models.values())
    _frame(axes, scores)
    _heading(figure, report)
    for score, colour in zip(scores, _colours(len(scores)), strict=True):
        x, y, error = score.avg_tokens, 100 * score.pass_at_1, 100 * score.stderr
        axes.errorbar(x, y, error, color=colour, capsize=3.5, elinewidth=1.6, zorder=3)
        axes.plot(x, y, "o", color=colour, markersize=8.5, markeredgecolor="white", markeredgewidth=1.2, zorder=3)
    canvas.draw()
    _label(axes, canvas, scores)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _colours(count: int) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(count)]


def _frame(axes: Axes, scores: Sequence[ModelScore]) -> None:
    """Limits with room for labels, and no more ink than the reading needs."""
    low = min(score.pass_at_1 - score.stderr for score in scores) * 100
    high = max(score.pass_at_1 + score.stderr for score in scores) * 100
    room = max(0.14 * (high - low), 8.0)
    bottom, top = max(-1.5, low - room), min(101.5, high + room)
    axes.set_ylim(bottom, top)
    ticks = MaxNLocator(6, integer=True).tick_values(bottom, top)
    axes.set_yticks([tick for tick in ticks if max(0, bottom) <= tick <= min(100, top)])
    tokens = [score.avg_tokens for score in scores]
    room = max(0.16 * (max(tokens) - min(tokens)), 0.08 * max(tokens), 1.0)
    axes.set_xlim(max(0.0, min(tokens) - room), max(tokens) + 1.6 * room)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("average output tokens", color=INK, fontsize=10, labelpad=7)
    axes.grid(axis="y", color="#E7EAEE", linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, labelcolor=INK, labelsize=9, length=0, pad=6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _heading(figure: Figure, report: RunReport) -> None:
    """What is measured, on what, under which conditions; and what must be known to read it."""
    conditions = next(iter(report.models.values())).conditions
    figure.text(0.035, 0.945, "pass@1 against output tokens", fontsize=14, fontweight="bold", color=INK, va="center")
    about = f"{report.benchmark}: {conditions.problem_count} problems × {conditions.samples} samples"
    if report.comparable:
        about += f", temperature {conditions.temperature:g}, at most {conditions.max_tokens} tokens"
    figure.text(0.035, 0.885, about, fontsize=9.5, color="#555C66", va="center")
    notes = ["bars: ± one standard error, clustered by problem"]
    if not report.comparable:
        notes.append("measured under different conditions: not comparable")
    if report.samples_missing:
        notes.append(f"{report.samples_missing} samples missing")
    figure.text(0.96, 0.025, " · ".join(notes), fontsize=8, color="#555C66", ha="right", va="center")


def _label(axes: Axes, canvas: FigureCanvasAgg, scores: Sequence[ModelScore]) -> None:
    """Names every point in its own colour, each at the first place that is free (or the freest)."""
    taken = [_extent(axes, score) for score in scores]
    inside = axes.get_window_extent()
    coloured = zip(scores, _colours(len(scores)), strict=True)
    for score, colour in sorted(coloured, key=lambda pair: -pair[0].pass_at_1):  # from above, so that lines do not cross
        best: tuple[float, Annotation, Bbox] | None = None
        for x, y in NEAR + FAR:
            label = _annotate(axes, score, colour, x, y)
            label.update_positions(canvas.get_renderer())
            box = Text.get_window_extent(label, canvas.get_renderer()).padded(4)  # the words alone, without the line
            clash = _overlap(box, taken) + OUTSIDE * (box.width * box.height - _common(box, inside))
            if best is not None and clash >= best[0]:
                label.remove()
                continue
            if best is not None:
                best[1].remove()
            best = clash, label, box
            if clash == 0:
                break
        assert best is not None
        taken.append(best[2])


def _annotate(axes: Axes, score: ModelScore, colour: str, x: float, y: float) -> Annotation:
    return axes.annotate(
        f"{score.model}  {100 * score.pass_at_1:.1f}%",
        (score.avg_tokens, 100 * score.pass_at_1),
        xytext=(x, y),
        textcoords="offset points",
        ha="center" if x == 0 else "left" if x > 0 else "right",
        va="center",
        fontsize=10,
        fontweight="bold",
        color=colour,
        zorder=4,
        arrowprops=_LINE | {"color": colour, "relpos": (0 if x > 0 else 1, 0.5)} if (x, y) in FAR else None,
    )


def _extent(axes: Axes, score: ModelScore) -> Bbox:
    """What a point and its error bar cover, in pixels."""
    (x, low), (_, high) = axes.transData.transform(
        [(score.avg_tokens, 100 * (score.pass_at_1 - score.stderr)), (score.avg_tokens, 100 * (score.pass_at_1 + score.stderr))]
    )
    half = 7 * DPI / 72
    return Bbox([[x - half, min(low, high) - 3], [x + half, max(low, high) + 3]])


def _overlap(box: Bbox, others: Iterable[Bbox]) -> float:
    """Square pixels that `box` shares with others."""
    return sum(_common(box, other) for other in others)


def _common(one: Bbox, other: Bbox) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(width * height) if width > 0 and height > 0 else 0.0
