"""The budget curves as tables, in Markdown and in LaTeX: a row a budget, tokens and accuracy for every model."""

from collections.abc import Sequence

from services.evaluator import latex
from services.evaluator.weighted import DRAWN, EXACT
from shared.contracts.report import CurvePoint, RunReport

COLUMNS = ("avg. tokens", "accuracy")
NOTES = (
    "Accuracy in percent, with its 95% interval (bootstrap over problems).",
    "Cut at b: a response that is right and ended within b tokens counts; none is made to answer at b.",
    "Maj@k: expected accuracy of the majority of k of the stored responses.",
    "A dash: the model has no response as long, or none that is right as short, or fewer responses; of tokens: none were told.",
)
WEIGHTED = (
    "Weighted Maj@k: the same by sums of the weights that the reward gives; where more than "
    f"{EXACT:,} subsets have a size, over {DRAWN:,} of them, drawn at random."
)

ESTIMATED = (
    "Cuts are estimates for {}: the server told what several responses came to together, which was shared out by length of text."
)


def curves_markdown(report: RunReport) -> str:
    """A heading, the table, and how the figures were estimated."""
    header = ["budget", *(f"{name}: {column}" for name in report.curves for column in COLUMNS)]
    rows = [header, ["---"] + ["---:"] * (len(header) - 1), *(row for block in _blocks(report) for row in block)]
    table = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([f"# {report.benchmark}: budget curves", "", *table, "", *(f"- {note}" for note in _notes(report))]) + "\n"


def curves_latex(report: RunReport) -> str:
    """The same for `booktabs`, cuts and majorities apart."""
    return latex.table(
        f"Accuracy on {report.benchmark} at budgets of output tokens.",
        f"{report.benchmark} budgets",
        ["budget", *(column for _ in report.curves for column in COLUMNS)],
        _blocks(report),
        _notes(report),
        above=[(name, len(COLUMNS)) for name in report.curves],
    )


def _notes(report: RunReport) -> tuple[str, ...]:
    weighted = any(point.kind == "weighted" for curve in report.curves.values() for point in curve)
    estimated = [name for name, score in report.models.items() if score.tokens_estimated]
    more = [ESTIMATED.format(", ".join(estimated))] if estimated else []
    return (*NOTES, *([WEIGHTED] if weighted else []), *more)


def _blocks(report: RunReport) -> list[list[list[str]]]:
    """Rows of texts: cuts at powers of two; then the whole response, and majorities of 2, 4, 8, ... and of as many as there are;
    then weighted ones, where there are any.
    """
    curves = [{(point.kind, _place(point)): point for point in curve} for curve in report.curves.values()]
    keys = {key for curve in curves for key in curve}
    cuts = sorted(budget for kind, budget in keys if kind == "cut" and _is_power(budget))
    majorities, weighted = (_sizes([k for kind, k in keys if kind == wanted]) for wanted in ("majority", "weighted"))
    whole = [[point for point in curve if point.kind == "cut"][-1] for curve in report.curves.values()]
    blocks = [
        [[f"cut at {budget:,}", *_cells([curve.get(("cut", budget)) for curve in curves])] for budget in cuts],
        [
            ["one response", *_cells(whole)],
            *([f"Maj@{k}", *_cells([curve.get(("majority", k)) for curve in curves])] for k in majorities),
        ],
        [[f"weighted Maj@{k}", *_cells([curve.get(("weighted", k)) for curve in curves])] for k in weighted],
    ]
    return [block for block in blocks if block]


def _place(point: CurvePoint) -> int:
    return point.budget if point.kind == "cut" else point.k


def _sizes(found: Sequence[int]) -> list[int]:
    """Of the sizes of majorities those that have a row."""
    return sorted(k for k in found if k > 1 and (_is_power(k) or k == max(found)))


def _is_power(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def _cells(points: Sequence[CurvePoint | None]) -> list[str]:
    cells = []
    for point in points:
        if point is None:
            cells += ["–", "–"]
        else:
            interval = f"[{100 * point.low:.1f}, {100 * point.high:.1f}]"
            cells += [f"{point.avg_tokens:,.0f}" if point.avg_tokens else "–", f"{100 * point.accuracy:.1f} {interval}"]
    return cells
