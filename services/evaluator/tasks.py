"""The evaluator's handler: items of up to 32 problems for one model (or of stored samples, graded anew), and the closing item that
writes the report.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from services.evaluator.groups import Traits, traits_of
from services.evaluator.measuring import measure
from services.evaluator.pick import pick
from services.evaluator.regrading import Measured, changes, earlier, regrade
from services.evaluator.report import NothingGraded, Served, build_report, publish
from shared.contracts.report import ModelScore, RunReport
from shared.contracts.stages import EvaluateStage, PickStage
from shared.contracts.thought import Response
from shared.ledger.items import NewRecord, Result
from shared.work.context import Work
from shared.work.registry import Hopeless, handles


@handles("evaluate")
async def evaluate(work: Work) -> Result:
    """Samples the payload's problems, or grades stored samples anew; in the closing item, reports on all samples of the stage."""
    if work.payload.close:
        return await _close(work)
    return await (regrade(work) if work.stage.regrade else measure(work))


async def _close(work: Work) -> Result:
    """The report of the stage: figures, plot and table."""
    stage: EvaluateStage = work.stage
    samples = [Response.model_validate(body) for body in await work.records(work.lease.stage, "sample")]
    if not samples:
        raise Hopeless("no sample to report on: every item of this stage died")
    summary: dict[str, Any] = {}
    records = []
    if stage.regrade:
        measured = await earlier(work, stage.regrade)
        served, summary = measured.served, await changes(work)
        records = [NewRecord("served", f"{place:06}", one.model_dump(mode="json")) for place, one in enumerate(served)]
    else:
        served = [Served.model_validate(body) for body in await work.records(work.lease.stage, "served")]
        measured = Measured(*await work.asked(stage.problems), stage, work.recipe.seed, served)
    traits = await asyncio.to_thread(_traits, work, stage.problems, {sample.problem_id for sample in samples})
    origin = work.origin()
    report = await _built(origin, measured.benchmark, measured.stage, measured.seed, samples, served, measured.asked, traits)
    report = await asyncio.to_thread(publish, report, work.folder)
    records.append(NewRecord("report", "report", report.model_dump(mode="json")))
    return Result(records, summary={name: round(score.pass_at_1, 4) for name, score in report.models.items()} | summary)


async def _built(*args: Any) -> RunReport:
    """The report, which no retry mends where nothing could be graded."""
    try:
        return await asyncio.to_thread(build_report, *args)
    except NothingGraded as error:
        raise Hopeless(str(error)) from error


def _traits(work: Work, problems: str, measured: set[str]) -> dict[str, Traits]:
    """Traits of the measured problems: of the stage's source, or of what its curation kept."""
    bodies = work.stream_source(problems) if problems in work.recipe.problems else work.stream(problems, "problem")
    return traits_of(bodies, measured)


async def _on_same_problems(work: Work, stage: PickStage, report: RunReport) -> Mapping[str, ModelScore]:
    """Figures of what is to be picked from, on the problems that were measured with all of it: items of some models died."""
    samples = [Response.model_validate(body) for body in await work.records(stage.measured, "sample")]
    problems = [{one.problem_id for one in samples if one.model == name} for name in stage.models]
    common = set.intersection(*problems)
    if not common:
        raise Hopeless(f"`{stage.measured}` measured no problem with all of {', '.join(stage.models)}: items of it died")
    kept = [one for one in samples if one.problem_id in common]
    measured = work.recipe.stages[stage.measured]
    assert isinstance(measured, EvaluateStage), "a recipe is checked: a pick reads an evaluation"
    measured = measured.model_copy(update={"models": stage.models})
    served = [Served.model_validate(body) for body in await work.records(stage.measured, "served")]
    args = work.origin(), report.benchmark, measured, work.recipe.seed, kept, served, None
    return (await _built(*args, {})).models


@handles("pick")
async def choose(work: Work) -> Result:
    """The `pick` record."""
    stage: PickStage = work.stage
    (body,) = await work.records(stage.measured, "report")
    report = RunReport.model_validate(body)
    if missing := [name for name in stage.models if name not in report.models]:
        raise Hopeless(f"`{stage.measured}` has no figures of {', '.join(missing)}: their items died, so nothing can be picked")
    scores = await _on_same_problems(work, stage, report) if report.samples_missing else report.models
    found = pick(stage, scores, work.origin())
    return Result([NewRecord("pick", "pick", found.model_dump(mode="json"))], summary={"model": found.model})
