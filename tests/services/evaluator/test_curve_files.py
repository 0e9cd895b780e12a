"""Budget curves as files: the plot, its Vega-Lite, and tables in Markdown and LaTeX."""

import io
import itertools
import json
import re

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluator import latex
from services.evaluator.curves import budget_curve
from services.evaluator.curves_plot import _figures, _spread, draw_curves
from services.evaluator.curves_table import curves_latex, curves_markdown
from services.evaluator.curves_vega import vega_lite
from services.evaluator.style import COLOURS
from services.evaluator.table import latex_table
from shared.contracts.report import CurvePoint, RunReport
from tests.services.evaluator.test_curves import sample
from tests.services.evaluator.test_report import report, score


def point(kind: str, budget: int, k: int, tokens: float, accuracy: float) -> CurvePoint:
    low, high = max(0, accuracy - 0.125), min(1, accuracy + 0.125)
    return CurvePoint(kind=kind, budget=budget, k=k, avg_tokens=tokens, accuracy=accuracy, low=low, high=high)  # type: ignore[arg-type]


SHORT = (
    *(point("cut", 50, 1, 48, 0.125), point("cut", 64, 1, 60, 0.25), point("cut", 90, 1, 70, 0.5)),
    *(point("majority", 512 * k, k, 70.0 * k, 0.5 + k / 16 - 1 / 16) for k in range(1, 7)),
)
WEIGHTED = (*SHORT, *(point("weighted", 512 * k, k, 70.0 * k, 0.5 + k / 12 - 1 / 12) for k in range(1, 7)))
LONG = (point("cut", 64, 1, 64, 0), point("cut", 2048, 1, 1500, 0.75), point("majority", 4096, 1, 1500, 0.75))


def curves(**named: tuple[CurvePoint, ...]) -> RunReport:
    made = report(*(score(name, 0.5, 0.1, 70) for name in named))
    return made.model_copy(update={"curves": named})


@pytest.mark.parametrize(
    "shown",
    [
        curves(base=SHORT, tuned=LONG),
        curves(alone=LONG),
        curves(base=WEIGHTED, tuned=LONG),
        curves(nothing=(point("cut", 0, 1, 0, 0), point("majority", 1, 1, 0, 0))),
        curves(**{f"a-very-long-name-of-a-model-of-which-there-are-many-{n}": SHORT for n in range(20)}),
    ],
    ids=["two", "one response", "weighted", "no tokens", "crowd"],
)
def test_the_plot_is_a_png_of_its_size(shown: RunReport) -> None:
    image = matplotlib.image.imread(io.BytesIO(draw_curves(shown)))
    assert image.shape[:2] == (980, 1520)
    colour = np.array([int(COLOURS[0][at : at + 2], 16) / 255 for at in (1, 3, 5)])
    assert (np.abs(image[..., :3] - colour).max(axis=2) < 0.01).sum() > 300  # the first model's line is drawn in its colour
    assert (image[:, -8:, :3] == 1).all()  # no name runs out of the picture


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12).map(sorted), st.floats(1, 8))
def test_names_keep_apart_in_order_and_inside(wanted: list[float], slot: float) -> None:
    heights = _spread(wanted, slot, 0, 100)
    assert all(later - earlier >= slot - 1e-9 for earlier, later in itertools.pairwise(heights))
    assert slot / 2 - 1e-9 <= heights[0] and heights[-1] <= 100 - slot / 2 + 1e-9


def test_names_stay_where_they_belong_if_they_can() -> None:
    assert _spread([20, 50, 80], 10, 0, 100) == [20, 50, 80]
    assert _spread([49, 51], 10, 0, 100) == [45, 55]
    assert _spread([0, 1], 10, 0, 100) == [5, 15]


def test_vega_lite_holds_every_point() -> None:
    made = curves(base=SHORT, tuned=LONG)
    read = json.loads(vega_lite(made))
    assert read["$schema"].endswith("vega-lite/v5.json")
    rows = read["data"]["values"]
    fields = set(CurvePoint.model_fields)
    found = {
        name: tuple(CurvePoint.model_validate({key: row[key] for key in fields}) for row in rows if row["model"] == name)
        for name in ("base", "tuned")
    }
    assert found == made.curves
    scale = read["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == {"base": COLOURS[0], "tuned": COLOURS[1]}
    used = {
        one["field"] for layer in read["layer"] for one in layer["encoding"].values() if isinstance(one, dict) and "field" in one
    }
    assert used | {read["encoding"]["x"]["field"]} <= set(rows[0])


def test_vega_lite_tells_weighted_majorities_apart() -> None:
    plain, both = (json.loads(vega_lite(curves(base=one, tuned=LONG))) for one in (SHORT, WEIGHTED))
    assert [row["k"] for row in both["data"]["values"] if row["kind"] == "weighted"] == [1, 2, 3, 4, 5, 6]
    points = both["layer"][2]
    assert points["transform"] == [{"filter": "datum.kind !== 'cut'"}] and points["encoding"]["shape"]["value"] == "circle"
    assert len(both["layer"][1]["encoding"]["strokeDash"]["condition"]) == 2
    assert "weighted" not in json.dumps(plain)


def test_a_logarithmic_axis_has_no_zero() -> None:
    rows = json.loads(vega_lite(curves(m=(point("cut", 0, 1, 0, 0),))))["data"]["values"]
    assert (rows[0]["tokens"], rows[0]["avg_tokens"]) == (1, 0)


def test_the_markdown_table() -> None:
    lines = curves_markdown(curves(base=SHORT, tuned=LONG)).splitlines()
    assert [line for line in lines if line.startswith("|")][2:] == [
        "| cut at 64 | 60 | 25.0 [12.5, 37.5] | 64 | 0.0 [0.0, 12.5] |",
        "| cut at 2,048 | – | – | 1,500 | 75.0 [62.5, 87.5] |",
        "| one response | 70 | 50.0 [37.5, 62.5] | 1,500 | 75.0 [62.5, 87.5] |",
        "| Maj@2 | 140 | 56.2 [43.8, 68.8] | – | – |",
        "| Maj@4 | 280 | 68.8 [56.2, 81.2] | – | – |",
        "| Maj@6 | 420 | 81.2 [68.8, 93.8] | – | – |",
    ]


def test_weighted_majorities_have_rows_of_their_own() -> None:
    lines = curves_markdown(curves(base=WEIGHTED, tuned=LONG)).splitlines()
    assert [line for line in lines if line.startswith("| weighted")] == [
        "| weighted Maj@2 | 140 | 58.3 [45.8, 70.8] | – | – |",
        "| weighted Maj@4 | 280 | 75.0 [62.5, 87.5] | – | – |",
        "| weighted Maj@6 | 420 | 91.7 [79.2, 100.0] | – | – |",
    ]
    assert lines[-1].startswith("- Weighted Maj@k: ")
    assert ["weighted Maj@2", "140", "58.3 [45.8, 70.8]", "--", "--"] in rows_of(curves_latex(curves(base=WEIGHTED, tuned=LONG)))
    assert "eighted" not in curves_markdown(curves(base=SHORT))


@pytest.mark.parametrize(
    ("curve", "figures"),
    [
        (SHORT, "50.0% → 81.2% (Maj@6)"),
        (WEIGHTED, "81.2%, ◇ 91.7% (Maj@6)"),
        (WEIGHTED[:-1], "50.0% → 81.2% (Maj@6)"),  # as large a weighted one is not there: some samples could not be scored
        (LONG, "75.0%"),
    ],
)
def test_figures_under_a_name(curve: tuple[CurvePoint, ...], figures: str) -> None:
    assert _figures(curve) == figures


def rows_of(text: str) -> list[list[str]]:
    """Cells of each row of a LaTeX table, spanning ones as often as they span."""
    rows = []
    for line in text.splitlines():
        if line.endswith("\\\\"):
            cells = re.split(r"(?<!\\)&", line.removesuffix("\\\\"))
            rows.append([cell.strip() for cell in cells for _ in range(int((re.search(r"multicolumn\{(\d+)", cell) or [0, 1])[1]))])
    return rows


@pytest.mark.parametrize(
    "text",
    [
        curves_latex(curves(base=SHORT, tuned=LONG)),
        curves_latex(curves(base=WEIGHTED, tuned=LONG)),
        latex_table(curves(base=SHORT, tuned=LONG)),
    ],
)
def test_latex_tables_are_well_formed(text: str) -> None:
    [columns] = re.findall(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}", text)
    assert {len(row) for row in rows_of(text)} == {len(columns)}
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    begun, ended = re.findall(r"\\begin\{(\w+)\}", text), re.findall(r"\\end\{(\w+)\}", text)
    assert begun == ended[::-1] == ["table", "tabular"]
    assert [rule for rule in ("toprule", "midrule", "bottomrule") if f"\\{rule}" in text] == ["toprule", "midrule", "bottomrule"]
    assert not re.search(r"(?<!\\)%(?! needs)", text)
    text.encode("ascii")


def test_the_latex_table_says_the_same_as_the_markdown_one() -> None:
    text = curves_latex(curves(base=SHORT, tuned=LONG))
    assert ["cut at 2,048", "--", "--", "1,500", "75.0 [62.5, 87.5]"] in rows_of(text)
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5}" in text
    assert r"\label{tab:sums-budgets}" in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 5% of #1 {x}", r"a\_b \& 5\% of \#1 \{x\}"),
        ("C:\\x ~ y^2 $", r"C:\textbackslash{}x \textasciitilde{} y\textasciicircum{}2 \$"),
        ("1.0 ± 0.5 × 2 – “wait”\n", r"1.0 $\pm$ 0.5 $\times$ 2 -- ``wait''"),
    ],
)
def test_latex_escapes(text: str, escaped: str) -> None:
    assert latex.escape(text) == escaped


def test_a_row_that_begins_with_a_bracket_is_no_option_of_the_one_before() -> None:
    assert "{}[a] & b \\\\" in latex.table("c", "n", ["x", "y"], [[["[a]", "b"]]])


def test_curves_of_real_samples_are_drawn_and_tabled() -> None:
    samples = [sample(f"p{n}", draw, "1" if draw <= n else "2", 20 + 7 * n + draw) for n in range(3) for draw in range(3)]
    made = curves(base=budget_curve(samples, 64, 0))
    assert draw_curves(made).startswith(b"\x89PNG")
    assert "| one response | 28 | 66.7 [" in curves_markdown(made)
