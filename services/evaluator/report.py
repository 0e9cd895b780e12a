"""The report: one row of figures per model, under stated conditions, with a plot and a table."""

from collections.abc import Sequence
from itertools import groupby

from services.evaluator import metrics
from services.evaluator.judged import judged
from services.evaluator.plot import draw
from services.evaluator.table import markdown
from shared.artifacts import write_bytes
from shared.contracts.base import Origin, Record
from shared.contracts.report import Conditions, ModelScore, RunReport
from shared.contracts.stages import EvaluateStage
from shared.contracts.thought import Response


class Served(Record):
    """How a model was served while one item sampled it."""

    model: str
    """The recipe's name for it."""
    uri: str
    engine: str
    prompt: str
    judge: str = ""
    """Who judged, by which prompts; '' where nobody was asked."""


class NothingGraded(Exception):
    """Not one sample of a model could be graded: there is nothing to say of it."""


def build_report(
    origin: Origin,
    benchmark: str,
    stage: EvaluateStage,
    seed: int,
    samples: Sequence[Response],
    served: Sequence[Served],
    asked: int | None,
) -> RunReport:
    """Figures of every model that has samples, in the recipe's order; one whose items all died is left out and counted missing.

    `asked`: problems a model should have been measured on (None: as many as the best-measured one was). Raises NothingGraded.
    """
    scores = {}
    for name in stage.models:
        mine = [sample for sample in samples if sample.model == name]
        if mine:
            scores[name] = _score(name, benchmark, stage, seed, mine, [entry for entry in served if entry.model == name])
    asked = asked or max(score.conditions.problem_count for score in scores.values())
    return RunReport(
        origin=origin,
        benchmark=benchmark,
        models=scores,
        comparable=len({score.conditions for score in scores.values()}) == 1,
        samples_missing=max(0, len(stage.models) * stage.samples * asked - len(samples)),
    )


def _score(
    name: str, benchmark: str, stage: EvaluateStage, seed: int, samples: Sequence[Response], served: Sequence[Served]
) -> ModelScore:
    ordered = sorted(samples, key=lambda sample: (sample.problem_id, sample.draw))
    graded = [sample for sample in ordered if sample.grading_error is None]
    if not graded:
        raise NothingGraded(f"model {name}: none of its {len(samples)} samples could be graded: {ordered[0].grading_error}")
    problems = [list(group) for _, group in groupby(graded, key=lambda sample: sample.problem_id)]
    counts = [(len(group), sum(sample.verified for sample in group)) for group in problems]
    return ModelScore(
        model=name,
        uri=" + ".join(sorted({entry.uri for entry in served})),
        n=len(problems),
        samples=len(samples),
        pass_at_1=metrics.pass_at_1(counts),
        stderr=metrics.standard_error(counts),
        maj_at_k=sum(metrics.majority_right(group) for group in problems) / len(problems),
        pass_at_k=metrics.pass_at_k(counts, stage.samples),
        avg_tokens=sum(sample.completion_tokens for sample in samples) / len(samples),
        truncated=metrics.share([sample.finish_reason == "length" for sample in samples]),
        unanswered=metrics.share([sample.extracted is None for sample in samples]),
        ungraded=len(samples) - len(graded),
        **judged(problems),
        keywords=metrics.keyword_rates([sample.completion for sample in samples], stage.keywords),
        conditions=Conditions(
            problems=benchmark,
            problem_count=len({sample.problem_id for sample in samples}),
            samples=stage.samples,
            temperature=stage.sampling.temperature,
            top_p=stage.sampling.top_p,
            max_tokens=stage.sampling.max_tokens,
            budget=stage.budget,
            answer_tokens=stage.answer_tokens if stage.budget else None,
            waits=stage.waits,
            prompt=" + ".join(sorted({entry.prompt for entry in served})),
            seed=seed,
            engine=" + ".join(sorted({entry.engine for entry in served})),
            judge=" + ".join(sorted({judge for entry in served for judge in entry.judge.split(" + ") if judge})),
        ),
    )


def publish(report: RunReport, folder: str) -> RunReport:
    """Writes plot and table into `folder` (an fsspec URL); returns the report that names them."""
    return report.model_copy(
        update={
            "plot": write_bytes(f"{folder}/accuracy-against-tokens.png", draw(report)),
            "table": write_bytes(f"{folder}/table.md", markdown(report).encode()),
        }
    )
