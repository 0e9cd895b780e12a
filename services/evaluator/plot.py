"""The plot of a report: accuracy against average output tokens, one point a model, named where it stands."""

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from services.evaluator.style import DPI, SIZE_INCHES, accuracy_axis, colours, heading, png, token_axis
from shared.contracts.report import ModelScore, RunReport

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
    heading(figure, report, "pass@1 against output tokens", ["bars: ± one standard error, clustered by problem"])
    for score, colour in zip(scores, colours(score.model for score in scores), strict=True):
        x, y, error = score.avg_tokens, 100 * score.pass_at_1, 100 * score.stderr
        axes.errorbar(x, y, error, color=colour, capsize=3.5, elinewidth=1.6, zorder=3)
        axes.plot(x, y, "o", color=colour, markersize=8.5, markeredgecolor="white", markeredgewidth=1.2, zorder=3)
    canvas.draw()
    _label(axes, canvas, scores)
    return png(figure)


def _frame(axes: Axes, scores: Sequence[ModelScore]) -> None:
    """Limits with room for labels."""
    low = min(score.pass_at_1 - score.stderr for score in scores) * 100
    accuracy_axis(axes, low, max(score.pass_at_1 + score.stderr for score in scores) * 100)
    tokens = [score.avg_tokens for score in scores]
    room = max(0.16 * (max(tokens) - min(tokens)), 0.08 * max(tokens), 1.0)
    axes.set_xlim(max(0.0, min(tokens) - room), max(tokens) + 1.6 * room)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    token_axis(axes, "average output tokens")


def _label(axes: Axes, canvas: FigureCanvasAgg, scores: Sequence[ModelScore]) -> None:
    """Names every point in its own colour, each at the first place that is free (or the freest)."""
    taken = [_extent(axes, score) for score in scores]
    inside = axes.get_window_extent()
    coloured = zip(scores, colours(score.model for score in scores), strict=True)
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
