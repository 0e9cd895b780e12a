"""The evaluator's handler: items of up to 32 problems for one model, and the closing item that writes the report."""

import asyncio
import time
from typing import Any

from services.evaluator.groups import Traits, traits_of
from services.evaluator.report import NothingGraded, Served, build_report, publish
from services.evaluator.sampling import PROMPT, sample_problem
from shared.contracts.problem import Problem
from shared.contracts.stages import EvaluateStage
from shared.contracts.thought import Response
from shared.engines.client import EngineDied, RequestRefused
from shared.ledger.items import LeaseLost, NewRecord, Result
from shared.prompts import version
from shared.work.context import Work
from shared.work.registry import Hopeless, handles

PROGRESS_SECONDS = 1.0


@handles("evaluate")
async def evaluate(work: Work) -> Result:
    """Samples the payload's problems; in the closing item, reports on all samples of the stage."""
    return await (_close(work) if work.payload.close else _measure(work))


async def _measure(work: Work) -> Result:
    """All problems at once; each is saved when it is through, so that a retry pays for none twice.

    One problem's error lets the others finish first, and then fails the item.
    """
    stage: EvaluateStage = work.stage
    ref = work.payload.roles["policy"]
    problems = await work.problems()
    endpoint = await work.endpoint("policy")
    origin = work.origin(model=endpoint.uri, prompt=version(PROMPT))
    done: dict[int, list[dict[str, Any]]] = {body["place"]: body["samples"] for body in await work.saved()}
    shown = 0.0

    async def measure(place: int, problem: Problem) -> None:
        nonlocal shown
        samples = await sample_problem(endpoint, ref.name, stage, problem, origin)
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
    served = Served(model=ref.name, uri=endpoint.uri, engine=endpoint.engine, prompt=version(PROMPT))
    records = [NewRecord("sample", body["id"], body) for body in bodies]
    records.append(NewRecord("served", f"{ref.name}/{work.lease.key}", served.model_dump(mode="json")))
    ungraded = sum(body["grading_error"] is not None for body in bodies)
    right = sum(body["verified"] for body in bodies)
    return Result(records=records, summary={"model": ref.name, "samples": len(bodies), "right": right, "ungraded": ungraded})


_URGENCY = (LeaseLost, EngineDied, asyncio.CancelledError)


def _raise_worst(failures: list[tuple[Problem, BaseException]]) -> None:
    """Raises the failure that decides what becomes of the item: a lost lease or a dead engine, else an error that a retry may mend,
    else a refusal, which none can.
    """
    refused = [(problem, error) for problem, error in failures if isinstance(error, RequestRefused)]
    others = [error for _, error in failures if not isinstance(error, RequestRefused)]
    for error in sorted(others, key=lambda error: not isinstance(error, _URGENCY)):
        raise error
    for problem, error in refused:
        raise Hopeless(f"problem {problem.id}: {error}") from error


async def _close(work: Work) -> Result:
    """The report of the stage: figures, plot and table."""
    stage: EvaluateStage = work.stage
    samples = [Response.model_validate(body) for body in await work.records(work.lease.stage, "sample")]
    served = [Served.model_validate(body) for body in await work.records(work.lease.stage, "served")]
    if not samples:
        raise Hopeless("no sample to report on: every item of this stage died")
    benchmark, asked = await work.asked(stage.problems)
    traits = await asyncio.to_thread(_traits, work, stage.problems, {sample.problem_id for sample in samples})
    try:
        args = work.origin(), benchmark, stage, work.recipe.seed, samples, served, asked, traits
        report = await asyncio.to_thread(build_report, *args)
    except NothingGraded as error:
        raise Hopeless(str(error)) from error
    report = await asyncio.to_thread(publish, report, work.folder)
    summary = {name: round(score.pass_at_1, 4) for name, score in report.models.items()}
    return Result(records=[NewRecord("report", "report", report.model_dump(mode="json"))], summary=summary)


def _traits(work: Work, problems: str, measured: set[str]) -> dict[str, Traits]:
    """Traits of the measured problems: of the stage's source, or of what its curation kept."""
    bodies = work.stream_source(problems) if problems in work.recipe.problems else work.stream(problems, "problem")
    return traits_of(bodies, measured)
