"""The plot of the budget curves: accuracy against average output tokens, one line a model, with its band."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from services.evaluator.style import DPI, FAINT, QUIET, SIZE_INCHES, accuracy_axis, colours, heading, png, token_axis
from shared.contracts.report import CurvePoint, RunReport

MARKED = 12
"""With more majorities than this, only those of 1, 2, 4, 8, ... responses are marked."""
MAX_TICKS = 9
SLOT = 32
"""Points of height that a name with its figures takes."""
MARGIN = 0.745
"""Where the axes end and the names begin, as a share of the width."""


def draw_curves(report: RunReport) -> bytes:
    """The plot as PNG: tokens on a logarithmic axis; a large point at one whole response, the cuts before and majorities after it.

    A model of which nothing was right has its line all the same, at 0. Weighted majorities are a dotted line without a band: bands
    of the same samples would hide each other.
    """
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.17, MARGIN - 0.09, 0.645))
    points = [point for curve in report.curves.values() for point in curve]
    accuracy_axis(axes, min(point.low for point in points) * 100, max(point.high for point in points) * 100)
    _budget_axis(axes, [_x(point) for point in points])
    shades = dict(zip(report.curves, colours(report.curves), strict=True))
    for name, curve in report.curves.items():
        _line(axes, curve, shades[name])
    notes = ["dashed: cut short", "●: one whole response", "○: majority of several", "bands: 95%, bootstrap over problems"]
    if any(point.kind == "weighted" for point in points):
        notes[2] = "○: majority, ◇: weighted by reward"
    if estimated := [name for name, score in report.models.items() if score.tokens_estimated]:
        notes.append(f"lengths estimated: {', '.join(estimated)}")
    heading(figure, report, "Accuracy at a budget of output tokens", notes)
    canvas.draw()
    _name(figure, axes, canvas, report, shades)
    return png(figure)


def _x(point: CurvePoint) -> float:
    """Where a point stands on an axis that has no 0."""
    return max(point.avg_tokens, 1.0)


def _budget_axis(axes: Axes, tokens: Sequence[float]) -> None:
    """A logarithmic axis with ticks at 1, 2, 5, 10, ... tokens (or fewer)."""
    room = max((max(tokens) / min(tokens)) ** 0.025, 1.02)
    left, right = min(tokens) / room, max(tokens) * room
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    ticks: list[int] = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10**power for power in range(12) for step in steps if left <= step * 10**power <= right]
        if len(ticks) <= MAX_TICKS:
            break
    if len(ticks) < 2:
        ticks = sorted({round(min(tokens)), round(max(tokens))})
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    token_axis(axes, "average output tokens a problem")
    axes.tick_params(axis="x", which="major", length=3.5, color=FAINT, width=0.8)


def _line(axes: Axes, curve: Sequence[CurvePoint], colour: str) -> None:
    """One model's band, its cuts as a dashed line, its majorities as a solid one, and a large point where they meet; weighted
    majorities as a dotted one.
    """
    cuts, weighted = ([point for point in curve if point.kind == kind] for kind in ("cut", "weighted"))
    majorities = [cuts[-1], *(point for point in curve if point.kind == "majority" and point.k > 1)]
    whole = [*cuts, *majorities[1:]]
    low, high = [100 * point.low for point in whole], [100 * point.high for point in whole]
    axes.fill_between([_x(point) for point in whole], low, high, color=colour, alpha=0.11, linewidth=0, zorder=2)
    axes.plot(*_path(cuts), color=colour, linewidth=1.7, linestyle=(0, (3.2, 1.6)), zorder=3)
    axes.plot(*_path(majorities), color=colour, linewidth=2.2, solid_capstyle="round", zorder=3)
    axes.plot(*_path(weighted), color=colour, linewidth=1.7, linestyle=(0, (1, 1.3)), zorder=3)
    for several, mark, size in ((majorities, "o", 5.0), (weighted, "D", 4.2)):
        axes.plot(
            *_path(_marked(several)), mark, color="white", markeredgecolor=colour, markeredgewidth=1.4, markersize=size, zorder=4
        )
    axes.plot(*_path(cuts[-1:]), "o", color=colour, markersize=8.5, markeredgecolor="white", markeredgewidth=1.2, zorder=5)


def _marked(majorities: Sequence[CurvePoint]) -> list[CurvePoint]:
    """Those of several responses that have a mark, of majorities with rising k."""
    most = max((point.k for point in majorities), default=1)
    several = [point for point in majorities if point.k > 1]
    return [point for point in several if most <= MARKED or point.k == most or point.k & (point.k - 1) == 0]


def _end(curve: Sequence[CurvePoint]) -> CurvePoint:
    """Where a model's solid line ends, or its dashed one if there is no other."""
    return [point for point in curve if point.kind != "weighted"][-1]


def _path(points: Sequence[CurvePoint]) -> tuple[list[float], list[float]]:
    return [_x(point) for point in points], [100 * point.accuracy for point in points]


def _name(figure: Figure, axes: Axes, canvas: FigureCanvasAgg, report: RunReport, shades: dict[str, str]) -> None:
    """Names the lines in a column beside the axes, in the order in which they end, each joined to its end by a thin line.

    Under a name stands what one response and the largest majority come to, as long as there is room for it.
    """
    ends = {}
    for name, curve in report.curves.items():
        x, y = axes.transData.transform((_x(_end(curve)), 100 * _end(curve).accuracy))
        ends[name] = float(x), float(y)
    names = sorted(ends, key=lambda name: ends[name][1])
    frame, pixels = axes.get_window_extent(), DPI / 72
    slot = min(SLOT * pixels, (frame.height + 10 * pixels) / len(names))
    roomy = slot >= 0.8 * SLOT * pixels
    column = frame.x1 + 20 * pixels
    heights = _spread([ends[name][1] for name in names], slot, frame.y0 - 5 * pixels, frame.y1 + 5 * pixels)
    for name, height in zip(names, heights, strict=True):
        text = axes.annotate(
            name,
            (column, height + (6 * pixels if roomy else 0)),
            xycoords="figure pixels",
            fontsize=min(10, 0.8 * slot / pixels),
            fontweight="bold",
            color=shades[name],
            va="center",
            annotation_clip=False,
        )
        width = text.get_window_extent(canvas.get_renderer()).width
        text.set_fontsize(text.get_fontsize() * min(1, (0.985 * figure.bbox.width - column) / width))
        if roomy:
            axes.annotate(
                _figures(report.curves[name]),
                (column, height - 7 * pixels),
                xycoords="figure pixels",
                fontsize=8,
                color=QUIET,
                va="center",
                annotation_clip=False,
            )
        path = {"arrowstyle": "-", "color": shades[name], "linewidth": 0.8, "alpha": 0.55, "shrinkA": 0, "shrinkB": 4}
        start = (column - 4 * pixels, height)
        axes.annotate("", ends[name], start, xycoords="figure pixels", textcoords="figure pixels", arrowprops=path, zorder=2)


def _figures(curve: Sequence[CurvePoint]) -> str:
    """What one response comes to, and what the largest majority does; where there is a weighted one as large, these two."""
    last, [whole] = _end(curve), [point for point in curve if point.kind == "cut"][-1:]
    one, most = f"{100 * whole.accuracy:.1f}%", f"{100 * last.accuracy:.1f}%"
    for point in curve:
        if point.kind == "weighted" and point.k == last.k > 1:
            return f"{most}, ◇ {100 * point.accuracy:.1f}% (Maj@{last.k})"
    return f"{one} → {most} (Maj@{last.k})" if last.k > 1 else one


def _spread(wanted: Sequence[float], slot: float, low: float, high: float) -> list[float]:
    """Heights as near as can be (in squares) to the wanted ones (rising), a slot apart and between `low` and `high` if they fit in.

    What is too near to its neighbour is put into a group with it, which stands where it suits the group.
    """
    groups: list[tuple[float, int]] = []  # (height that the first of the group would have if it stood lowest of all, members)
    for place, value in enumerate(wanted):
        height, count = value - place * slot, 1
        while groups and groups[-1][0] > height:
            before, members = groups.pop()
            height, count = (height * count + before * members) / (count + members), count + members
        groups.append((height, count))
    bottom, top = low + slot / 2, high - slot / 2 - (len(wanted) - 1) * slot
    firsts = [min(max(height, bottom), top) for height, count in groups for _ in range(count)]
    return [height + place * slot for place, height in enumerate(firsts)]
