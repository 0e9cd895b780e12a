"""Stored samples of an earlier run, graded by today's grader. No model is asked: texts, tokens, step scores and conditions are that
run's.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.evaluator.forcing import made_to_answer
from services.evaluator.report import Served
from services.evaluator.sampling import graded
from services.evaluator.weighing import reweighed
from shared.answers.version import GRADER
from shared.contracts.problem import Problem
from shared.contracts.regraded import Regraded
from shared.contracts.stages import EvaluateStage, Regrade
from shared.contracts.thought import Response
from shared.ledger.items import NewRecord, Result
from shared.work.context import Work, asked_by
from shared.work.registry import Hopeless

BATCH = 50
"""Samples graded at once; between batches, the item's progress is told."""


@dataclass(frozen=True)
class Measured:
    """Under which conditions some samples were drawn."""

    benchmark: str
    asked: int | None
    """Problems that a model should have been measured on; None where nothing tells."""
    stage: EvaluateStage
    seed: int
    served: Sequence[Served]


async def regrade(work: Work) -> Result:
    """The payload's samples, graded anew, and weighed anew if asked: a record each, of this run, and one that counts what changed.

    Raises Hopeless for samples or problems that are gone, and for a problem that asks something else by now.
    """
    payload = work.payload
    assert payload.run is not None and payload.stage is not None, work.lease.key
    bodies = await work.records_by_key(payload.stage, "sample", payload.keys, payload.run)
    if len(bodies) < len(payload.keys):
        missing = len(payload.keys) - len(bodies)
        raise Hopeless(f"{missing} of {len(payload.keys)} samples of stage {payload.stage} of run {payload.run} are gone")
    before = [Response.model_validate(body) for body in bodies]
    problems = await _problems(work, {sample.problem_id for sample in before})
    drawn: Any = (await work.recipe_of(payload.run)).stages[payload.stage]
    now: list[Response] = []
    for first in range(0, len(before), BATCH):
        now += await asyncio.gather(*(_anew(work, problems, sample, drawn.budget) for sample in before[first : first + BATCH]))
        await work.progress({"step": len(now), "of": len(before)})
    model = before[0].model
    counted = _counted(model, before, now)
    records = [NewRecord("sample", sample.id, sample.model_dump(mode="json")) for sample in now]
    records.append(NewRecord("regraded", f"{model}/{work.lease.key}", counted.model_dump(mode="json")))
    right = sum(sample.verified for sample in now)
    return Result(records, summary={**counted.model_dump(exclude={"version", "ungraded_before"}), "right": right})


async def earlier(work: Work, regrade: Regrade) -> Measured:
    """The conditions of the run whose samples were graded anew. Raises Hopeless if it is gone."""
    recipe = await work.recipe_of(regrade.run)
    stage: Any = recipe.stages[regrade.stage]
    benchmark, asked = await asyncio.to_thread(asked_by, work.ledger, regrade.run, recipe, stage.problems)
    graded_by = work.recipe.source_of(work.stage.problems).stored_as
    if graded_by != recipe.source_of(stage.problems).stored_as:
        benchmark = f"{benchmark}, graded by {graded_by}"
    names = work.stage.models or stage.models
    served = [Served.model_validate(body) for body in await work.records(regrade.stage, "served", regrade.run)]
    mine = [one for one in served if one.model in names]
    weighs_by = work.stage.reward_aggregate or stage.reward_aggregate
    stage = stage.model_copy(update={"models": names, "keywords": work.stage.keywords, "reward_aggregate": weighs_by})
    return Measured(benchmark, asked, stage, recipe.seed, mine)


async def changes(work: Work) -> dict[str, int]:
    """How many verdicts of the stage changed, either way."""
    found = [Regraded.model_validate(body) for body in await work.records(work.lease.stage, "regraded")]
    return {name: sum(getattr(one, name) for one in found) for name in ("wrong_to_right", "right_to_wrong")}


async def _problems(work: Work, wanted: set[str]) -> dict[str, Problem]:
    """The stage's problems with these ids."""

    def read() -> dict[str, Problem]:
        bodies = (body for body in work.stream_source(work.stage.problems) if body["id"] in wanted)
        return {body["id"]: Problem.model_validate(body) for body in bodies}

    return await asyncio.to_thread(read)


async def _anew(work: Work, problems: dict[str, Problem], sample: Response, budget: int | None) -> Response:
    """A sample as a record of this run, with today's verdict; a judge's stays, and so do step scores. Raises Hopeless.

    `budget`: tokens after which it was made to answer.
    """
    sample = reweighed(sample, work.stage.reward_aggregate)
    origin = sample.origin.model_copy(update={"run_id": work.lease.run_id, "stage": work.lease.stage})
    if sample.judgement is not None:
        return sample.model_copy(update={"origin": origin})
    problem = problems.get(sample.problem_id)
    held = f"problems.{work.stage.problems}"
    if problem is None:
        raise Hopeless(f"{held} holds no problem {sample.problem_id}, of which there is a sample: name the set that it is in")
    if problem.question != sample.question:
        raise Hopeless(f"problem {sample.problem_id} of {held} asks something else than what its sample answers")
    if problem.choices != sample.choices:
        raise Hopeless(
            f"problem {sample.problem_id} of {held} has other choices, or another order of them, than its sample was asked"
        )
    if problem.grading.kind == "judge":
        raise Hopeless(f"problem {sample.problem_id} of {held} is graded by a judge now, and its sample has no judge's word")
    asked_for = made_to_answer(sample.text, sample.forced, sample.completion_tokens, budget)
    extracted, verified, error = await graded(problem, sample.text, asked_for)
    verdict = {"extracted": extracted, "verified": verified, "grading_error": error, "grader": GRADER}
    return sample.model_copy(update={"origin": origin, "answer": problem.answer, **verdict})


def _counted(model: str, before: Sequence[Response], now: Sequence[Response]) -> Regraded:
    pairs = Counter((_verdict(old), _verdict(new)) for old, new in zip(before, now, strict=True))
    return Regraded(
        model=model,
        samples=len(now),
        judged=sum(sample.judgement is not None for sample in now),
        wrong_to_right=pairs[False, True],
        right_to_wrong=pairs[True, False],
        ungraded_before=sum(number for (old, _), number in pairs.items() if old is None),
        ungraded=sum(number for (_, new), number in pairs.items() if new is None),
    )


def _verdict(sample: Response) -> bool | None:
    return None if sample.grading_error else sample.verified
