"""Plot and table of reports that are hard to draw."""

import io

import matplotlib.image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.evaluator.curves_table import curves_markdown
from services.evaluator.plot import draw
from services.evaluator.report import NothingGraded, Served, build_report
from services.evaluator.sampling import tokens_of
from services.evaluator.style import COLOURS, colours
from services.evaluator.table import markdown
from shared.contracts.base import Origin
from shared.contracts.grading import Judgement
from shared.contracts.models import ProblemSource
from shared.contracts.report import Conditions, ModelScore, RunReport
from shared.contracts.stages import EvaluateStage
from shared.contracts.thought import Response
from shared.engines.client import Choice

ORIGIN = Origin(run_id="r", stage="measure")
CONDITIONS = Conditions(
    problems="sums",
    problem_count=100,
    samples=2,
    temperature=0.8,
    top_p=1,
    max_tokens=512,
    prompt="solve@1",
    seed=0,
    engine="fake 1.0",
)


def score(name: str, accuracy: float, stderr: float, tokens: float) -> ModelScore:
    return ModelScore(
        model=name, uri=name, n=100, samples=200, pass_at_1=accuracy, stderr=stderr, maj_at_k=accuracy, pass_at_k=accuracy,
        avg_tokens=tokens, truncated=0, unanswered=0, keywords={"wait": 0.25}, conditions=CONDITIONS,
    )  # fmt: skip


def report(*scores: ModelScore) -> RunReport:
    return RunReport(origin=ORIGIN, benchmark="sums", models={one.model: one for one in scores}, comparable=True)


def response(model: str, problem: str, draw: int, **fields: object) -> Response:
    return Response.model_validate(
        {
            "id": f"{model}/{problem}#{draw}", "problem_id": problem, "question": "?", "answer": "1", "split": "test",
            "origin": ORIGIN,
            "text": "The answer is 1.", "model": model, "draw": draw, "finish_reason": "stop", "extracted": "1", "verified": True,
            "prompt_tokens": 3, "completion_tokens": 7, **fields,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    "scores",
    [
        [score("alone", 0.0, 0.0, 512)],
        [score("perfect", 1.0, 0.0, 1)],
        [score(f"model-{n}", 0.5, 0.04, 100) for n in range(9)],
        [score("base", 0.005, 0.004, 210), score("a-very-long-name-of-a-model", 0.97, 0.02, 30_000)],
    ],
    ids=["one", "perfect", "crowd", "far apart"],
)
def test_the_plot_is_a_png_of_its_size(scores: list[ModelScore]) -> None:
    image = matplotlib.image.imread(io.BytesIO(draw(report(*scores))))
    assert image.shape[:2] == (980, 1520)
    assert (image[..., :3] < 0.9).any(axis=2).mean() > 0.005  # something is drawn


def test_the_table_says_what_must_be_known() -> None:
    other = score("other", 0.5, 0.05, 80).model_copy(update={"conditions": CONDITIONS.model_copy(update={"engine": "fake 2.0"})})
    mixed = report(score("base", 0.25, 0.03, 40), other).model_copy(update={"comparable": False})
    table = markdown(mixed)
    assert "| base | 25.0 ± 3.0 | 25.0 | 25.0 | 40 | 0.0% | 0.0% | 25.0% |" in table
    assert "**Not comparable:**" in table
    assert "base: 100 problems × 2 samples" in table and "engine fake 2.0" in table
    assert "Not comparable" not in markdown(report(other))


def test_the_table_tells_of_forced_answers_and_of_tokens_that_nobody_counted() -> None:
    forced = {"budget": 60, "answer_tokens": 9, "waits": 2}
    far = score("far", 0.25, 0.03, 0).model_copy(update={"conditions": CONDITIONS.model_copy(update=forced)})
    table = markdown(report(far))
    assert "| far | 25.0 ± 3.0 | 25.0 | 25.0 | – |" in table
    assert "**far: its server told no numbers of tokens**" in table
    assert "engine fake 1.0, made to answer after 60 tokens with at most 9 more, made to go on 2 times." in table
    plain = markdown(report(score("near", 0.25, 0.03, 40)))
    assert "engine fake 1.0.\n" in plain and "numbers of tokens" not in plain


def test_models_served_by_different_engines_are_not_comparable() -> None:
    stage = EvaluateStage(models=("a", "b"), problems="held", samples=1)
    samples = [response(model, "p1", 0) for model in ("a", "b")]
    served = [Served(model=model, uri=f"some/{model}", engine=f"engine of {model}", prompt="solve@1") for model in ("a", "b")]
    made = build_report(ORIGIN, "sums", stage, 0, samples, served, 1, {})
    assert not made.comparable
    assert [made.models[name].uri for name in ("a", "b")] == ["some/a", "some/b"]


def test_models_graded_by_different_graders_are_not_comparable() -> None:
    stage = EvaluateStage(models=("a", "b"), problems="held", samples=2)
    served = [Served(model=model, uri=model, engine="fake", prompt="solve@1") for model in ("a", "b")]
    samples = [response("a", "p1", draw, grader=f"answers@{draw}") for draw in (0, 1)]
    samples += [response("b", "p1", draw, grader="answers@1") for draw in (0, 1)]
    made = build_report(ORIGIN, "sums", stage, 0, samples, served, 1, {})
    assert [made.models[name].conditions.grader for name in ("a", "b")] == ["answers@0 + answers@1", "answers@1"]
    assert not made.comparable and "engine fake, grader answers@1" in markdown(made)


def test_models_measured_on_different_problems_are_not_comparable() -> None:
    stage = EvaluateStage(models=("a", "b"), problems="held", samples=1)
    served = [Served(model=model, uri=model, engine="fake", prompt="solve@1") for model in ("a", "b")]
    samples = [response("a", "p1", 0), response("a", "p2", 0), response("b", "p2", 0), response("b", "p3", 0)]
    made = build_report(ORIGIN, "sums", stage, 0, samples, served, 3, {})
    assert made.models["a"].conditions == made.models["b"].conditions and not made.comparable
    assert build_report(ORIGIN, "sums", stage, 0, [*samples[1:3]], served, 1, {}).comparable


def test_forced_samples_are_counted_and_budgets_are_what_they_may_take() -> None:
    stage = EvaluateStage(models=("a",), problems="held", samples=2, budget=64, answer_tokens=32)
    samples = [response("a", "p1", 0, forced=1), response("a", "p1", 1), response("a", "p2", 0), response("a", "p2", 1)]
    made = build_report(ORIGIN, "sums", stage, 0, samples, [], 2, {})
    assert made.models["a"].forced == 0.25 and "a: 25.0% of the samples were made to answer" in markdown(made)
    assert [point.budget for point in made.curves["a"] if point.kind == "majority"] == [96, 192]


def test_verdicts_are_no_votes() -> None:
    said = Judgement(rubric="facts", verdict="correct", reason="So it is.", model="some/judge", prompt="judge_facts@1")
    stage = EvaluateStage(models=("a",), problems="held", samples=2, judge="j")
    samples = [response("a", "p1", draw, judgement=said, extracted="correct") for draw in range(2)]
    served = [Served(model="a", uri="a", engine="fake", prompt="respond@1", judge="some/judge (judge_facts@1)")]
    made = build_report(ORIGIN, "facts", stage, 0, samples, served, 1, {})
    assert {point.kind for point in made.curves["a"]} == {"cut"}
    assert " | 100.0 | – |" in markdown(made) and "No Maj@k" in markdown(made)


def test_a_model_of_which_nothing_could_be_graded_is_an_error() -> None:
    stage = EvaluateStage(models=("a",), problems="held", samples=1)
    sample = response("a", "p1", 0, verified=False, grading_error="took more than 5.0 s")
    with pytest.raises(NothingGraded, match="none of its 1 samples could be graded: took more"):
        build_report(ORIGIN, "sums", stage, 0, [sample], [], 1, {})


@pytest.mark.parametrize(
    ("source", "stored", "asked"),
    [
        (ProblemSource(set="s"), 10, 10),
        (ProblemSource(set="s", skip=4), 10, 6),
        (ProblemSource(set="s", skip=4, count=3), 10, 3),
        (ProblemSource(set="s", skip=8, count=3), 10, 2),
        (ProblemSource(generator="arithmetic", skip=100, count=3), 3, 3),
        (ProblemSource(set="s", count=3), None, 3),
        (ProblemSource(set="s"), None, None),
    ],
)
def test_problems_asked(source: ProblemSource, stored: int | None, asked: int | None) -> None:
    assert source.asked(stored) == asked


@settings(max_examples=50)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=6), st.integers(0, 1000))
def test_tokens_are_shared_out_whole_where_only_the_sum_is_known(texts: list[str], total: int) -> None:
    counts = tokens_of([Choice(text, (), "stop") for text in texts], total)
    assert sum(counts) == total
    assert all(count >= 0 for count in counts)


def test_estimated_lengths_are_told_beside_the_figures() -> None:
    stage = EvaluateStage(kind="evaluate", models=("sums", "exact"), problems="p", samples=2)
    samples = [
        response(model, "p1", draw, tokens_estimated=model == "sums" and draw == 0) for model in stage.models for draw in (0, 1)
    ]
    made = build_report(ORIGIN, "sums", stage, 0, samples, [], 1, {})
    assert made.models["sums"].tokens_estimated == 0.5 and made.models["exact"].tokens_estimated == 0
    assert "- sums: the lengths of 50.0% of the samples are estimates" in markdown(made)
    assert "- Cuts are estimates for sums: " in curves_markdown(made)


def test_seeds_share_a_colour_where_there_are_more_models_than_colours() -> None:
    few = ["base", "journey-1", "journey-2"]
    assert colours(few) == list(COLOURS[:3])
    many = ["base", *(f"{arm}-{seed}" for seed in (1, 2, 3) for arm in ("shortcut", "matched", "journey"))]
    assert colours(many) == [COLOURS[0], *COLOURS[1:4] * 3]
    assert colours([f"model{n}" for n in range(9)]) == [*COLOURS, COLOURS[0]]


def test_tokens_are_counted_where_ids_are_known() -> None:
    assert tokens_of([Choice("a", (1, 2, 3), "stop"), Choice("bcd", (1,), "stop")], 99) == [3, 1]
