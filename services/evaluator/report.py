"""The report: one row of figures per model, under stated conditions, and budget curves; with plots and tables."""

from collections.abc import Mapping, Sequence

from services.evaluator import groups, metrics
from services.evaluator.curves import budget_curve
from services.evaluator.curves_plot import draw_curves
from services.evaluator.curves_table import curves_latex, curves_markdown
from services.evaluator.curves_vega import vega_lite
from services.evaluator.judged import judged
from services.evaluator.plot import draw
from services.evaluator.table import latex_table, markdown
from shared.artifacts import all_or_nothing, write_bytes
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
    reward: str = ""
    """URI of the reward that weighed the samples; '' where none was asked."""


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
    traits: Mapping[str, groups.Traits],
) -> RunReport:
    """Figures of every model that has samples, in the recipe's order; one whose items all died is left out and counted missing.

    `asked`: problems a model should have been measured on (None: as many as the best-measured one was).
    `traits`: what the problems are grouped by; those that are not in it are in no group. Raises NothingGraded.
    """
    scores, curves = {}, {}
    for name in stage.models:
        mine = [sample for sample in samples if sample.model == name]
        if mine:
            score = _score(name, benchmark, stage, seed, mine, [entry for entry in served if entry.model == name])
            breakdowns = {"by_subject": groups.by_subject(mine, traits), "by_level": groups.by_level(mine, traits)}
            scores[name] = score.model_copy(update=breakdowns)
            most = stage.budget + stage.answer_tokens if stage.budget else stage.sampling.max_tokens
            curves[name] = budget_curve(mine, most, seed)
    measured = {frozenset(sample.problem_id for sample in samples if sample.model == name) for name in scores}
    asked = asked or max(score.conditions.problem_count for score in scores.values())
    return RunReport(
        origin=origin,
        benchmark=benchmark,
        models=scores,
        curves=curves,
        comparable=len({score.conditions for score in scores.values()}) == 1 and len(measured) == 1,
        samples_missing=max(0, len(stage.models) * stage.samples * asked - len(samples)),
    )


def _score(
    name: str, benchmark: str, stage: EvaluateStage, seed: int, samples: Sequence[Response], served: Sequence[Served]
) -> ModelScore:
    ordered = sorted(samples, key=lambda sample: (sample.problem_id, sample.draw))
    problems = metrics.graded_by_problem(ordered)
    if not problems:
        raise NothingGraded(f"model {name}: none of its {len(samples)} samples could be graded: {ordered[0].grading_error}")
    counts = metrics.counts_of(ordered)
    weighted = metrics.with_weights(problems)
    judges = " + ".join(sorted({judge for entry in served for judge in entry.judge.split(" + ") if judge}))
    said = stage.judge_sampling
    rewards = " + ".join(sorted({entry.reward for entry in served if entry.reward}))
    return ModelScore(
        model=name,
        uri=" + ".join(sorted({entry.uri for entry in served})),
        n=len(problems),
        samples=len(samples),
        pass_at_1=metrics.pass_at_1(counts),
        stderr=metrics.standard_error(counts),
        maj_at_k=sum(metrics.majority_right(group) for group in problems) / len(problems),
        weighted_maj_at_k=sum(map(metrics.weighted_right, weighted)) / len(weighted) if weighted else None,
        weighted_n=len(weighted) if stage.reward else None,
        unscored=sum(sample.weight is None for sample in samples) if stage.reward else 0,
        pass_at_k=metrics.pass_at_k(counts, stage.samples),
        avg_tokens=metrics.average_tokens(samples),
        tokens_estimated=metrics.share([sample.tokens_estimated for sample in samples]),
        forced=metrics.share([sample.forced > 0 for sample in samples]),
        truncated=metrics.share([sample.finish_reason == "length" for sample in samples]),
        unanswered=metrics.share([sample.extracted is None for sample in samples]),
        ungraded=len(samples) - sum(n for n, _ in counts),
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
            grader=" + ".join(sorted({sample.grader for sample in samples if sample.grader})),
            judge=f"{judges}, temperature {said.temperature:g}, at most {said.max_tokens} tokens" if judges else "",
            reward=f"{rewards} ({stage.weighs_by})" if rewards else "",
        ),
    )


def publish(report: RunReport, folder: str) -> RunReport:
    """Writes plots and tables into `folder` (an fsspec URL), all or none; returns the report that names them. Raises DiskFull."""
    files = {
        "plot": ("accuracy-against-tokens.png", draw(report)),
        "table": ("table.md", markdown(report).encode()),
        "table_latex": ("table.tex", latex_table(report).encode()),
        "curves_plot": ("budget-curves.png", draw_curves(report)),
        "curves_vega": ("budget-curves.vl.json", vega_lite(report).encode()),
        "curves_table": ("budget-curves.md", curves_markdown(report).encode()),
        "curves_latex": ("budget-curves.tex", curves_latex(report).encode()),
    }
    with all_or_nothing(folder):
        written = {field: write_bytes(f"{folder}/{name}", content) for field, (name, content) in files.items()}
    return report.model_copy(update=written)
