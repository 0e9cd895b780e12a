"""The evaluator's handler: items of up to 32 problems for one model (or of stored samples, graded anew), and the closing item that
writes the report.
"""

import asyncio
import time
from typing import Any

from services.evaluator.groups import Traits, traits_of
from services.evaluator.judging import Judge, attempted, is_right
from services.evaluator.pick import pick
from services.evaluator.regrading import Measured, changes, earlier, regrade
from services.evaluator.report import NothingGraded, Served, build_report, publish
from services.evaluator.sampling import prompt_of, sample_problem
from shared.contracts.problem import Problem
from shared.contracts.report import RunReport
from shared.contracts.stages import EvaluateStage, PickStage
from shared.contracts.thought import Response
from shared.engines.client import Endpoint, EndpointDown, EngineDied, RequestRefused, SpendCapReached
from shared.ledger.items import LeaseLost, NewRecord, Result
from shared.work.context import Work
from shared.work.registry import Hopeless, handles

PROGRESS_SECONDS = 1.0


@handles("evaluate")
async def evaluate(work: Work) -> Result:
    """Samples the payload's problems, or grades stored samples anew; in the closing item, reports on all samples of the stage."""
    if work.payload.close:
        return await _close(work)
    return await (regrade(work) if work.stage.regrade else _measure(work))


async def _measure(work: Work) -> Result:
    """All problems at once; each is saved when it is through, so that a retry pays for none twice.

    One problem's error lets the others finish first, and then fails the item.
    """
    stage: EvaluateStage = work.stage
    ref = work.payload.roles["policy"]
    problems = await work.problems()
    for problem in problems if "judge" not in work.payload.roles else ():  # before anything is sampled
        if problem.grading.kind == "judge":
            raise Hopeless(f"problem {problem.id} is graded by a judge, and the stage names none (its `judge`)")
    endpoint = await work.endpoint("policy")
    judge = Judge(await work.endpoint("judge"), stage.judge_sampling) if "judge" in work.payload.roles else None
    origin = work.origin(model=endpoint.uri)
    saved = await work.saved()
    done: dict[int, list[dict[str, Any]]] = {body["place"]: body["samples"] for body in saved if not body.get("unjudged")}
    unjudged: dict[int, list[dict[str, Any]]] = {body["place"]: body["samples"] for body in saved if body.get("unjudged")}
    shown = 0.0

    async def measure(place: int, problem: Problem) -> None:
        nonlocal shown
        if place in unjudged:
            samples = [Response.model_validate(body) for body in unjudged[place]]
        else:
            samples = await sample_problem(endpoint, ref.name, stage, problem, origin)
        if problem.grading.kind == "judge":
            assert judge is not None, problem.id
            if place not in unjudged:  # the answers are there: a judge that is away must not cost them
                bodies = [sample.model_dump(mode="json") for sample in samples]
                await work.save(len(problems) + place, {"place": place, "samples": bodies, "unjudged": True})
            samples = list(await asyncio.gather(*(judged(judge, problem, sample) for sample in samples)))
        bodies = [sample.model_dump(mode="json") for sample in samples]
        await work.save(place, {"place": place, "samples": bodies})
        done[place] = bodies
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            await work.progress({"step": len(done), "of": len(problems)})

    missing = [(place, problem) for place, problem in enumerate(problems) if place not in done]
    outcomes = await asyncio.gather(*(measure(place, problem) for place, problem in missing), return_exceptions=True)
    failures = [(problem, error) for (_, problem), error in zip(missing, outcomes, strict=True) if error is not None]
    _raise_worst(failures)
    bodies = [body for place in sorted(done) for body in done[place]]
    served = _served(ref.name, endpoint, problems, bodies)
    records = [NewRecord("sample", body["id"], body) for body in bodies]
    records += [NewRecord("served", f"{ref.name}/{work.lease.key}/{one.prompt}", one.model_dump(mode="json")) for one in served]
    ungraded = sum(body["grading_error"] is not None for body in bodies)
    right = sum(body["verified"] for body in bodies)
    return Result(records=records, summary={"model": ref.name, "samples": len(bodies), "right": right, "ungraded": ungraded})


async def judged(judge: Judge, problem: Problem, sample: Response) -> Response:
    """A sample with the judge's word on it. Raises EngineError."""
    judgement, error = await judge.judge(problem, sample.text)
    graded = {"extracted": attempted(judgement), "verified": is_right(judgement), "grading_error": error, "judgement": judgement}
    return sample.model_copy(update=graded)


def _served(model: str, endpoint: Endpoint, problems: list[Problem], bodies: list[dict[str, Any]]) -> list[Served]:
    """How the model was served, by the prompts that its problems were asked with."""
    judges = {f"{one['model']} ({one['prompt']})" for body in bodies if (one := body.get("judgement"))}
    judge = " + ".join(sorted(judges))
    prompts = sorted({prompt_of(problem) for problem in problems})
    return [Served(model=model, uri=endpoint.uri, engine=endpoint.engine, prompt=prompt, judge=judge) for prompt in prompts]


_NO_FAULT_OF_THE_ITEM = (LeaseLost, asyncio.CancelledError, SpendCapReached, EndpointDown, EngineDied)


def _raise_worst(failures: list[tuple[Problem, BaseException]]) -> None:
    """Raises the failure that decides what becomes of the item: one that costs it no attempt (a lost lease, a spend cap that is
    reached, an endpoint or an engine that is gone), else an error that a retry may mend, else a refusal, which none can.
    """
    refused = [(problem, error) for problem, error in failures if isinstance(error, RequestRefused)]
    others = [error for _, error in failures if not isinstance(error, RequestRefused)]
    for error in sorted(others, key=_urgency):
        raise error
    for problem, error in refused:
        raise Hopeless(f"problem {problem.id}: {error}") from error


def _urgency(error: BaseException) -> int:
    """Its place among failures, the most urgent first."""
    kinds = (place for place, kind in enumerate(_NO_FAULT_OF_THE_ITEM) if isinstance(error, kind))
    return next(kinds, len(_NO_FAULT_OF_THE_ITEM))


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
    try:
        args = work.origin(), measured.benchmark, measured.stage, measured.seed, samples, served, measured.asked, traits
        report = await asyncio.to_thread(build_report, *args)
    except NothingGraded as error:
        raise Hopeless(str(error)) from error
    report = await asyncio.to_thread(publish, report, work.folder)
    records.append(NewRecord("report", "report", report.model_dump(mode="json")))
    return Result(records, summary={name: round(score.pass_at_1, 4) for name, score in report.models.items()} | summary)


def _traits(work: Work, problems: str, measured: set[str]) -> dict[str, Traits]:
    """Traits of the measured problems: of the stage's source, or of what its curation kept."""
    bodies = work.stream_source(problems) if problems in work.recipe.problems else work.stream(problems, "problem")
    return traits_of(bodies, measured)


@handles("pick")
async def choose(work: Work) -> Result:
    """The `pick` record."""
    stage: PickStage = work.stage
    (body,) = await work.records(stage.measured, "report")
    scores = RunReport.model_validate(body).models
    if missing := [name for name in stage.models if name not in scores]:
        raise Hopeless(f"`{stage.measured}` has no figures of {', '.join(missing)}: their items died, so nothing can be picked")
    found = pick(stage, scores, work.origin())
    return Result([NewRecord("pick", "pick", found.model_dump(mode="json"))], summary={"model": found.model})
