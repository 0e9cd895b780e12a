"""One item's work: its problems sampled, judged and weighed, all at once. Each step that was paid for is saved before the next."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from services.evaluator.judging import Judge, attempted, is_right
from services.evaluator.report import Served
from services.evaluator.sampling import prompt_of, sample_problem
from services.evaluator.weighing import Weigher
from shared.contracts.problem import Problem
from shared.contracts.stages import EvaluateStage
from shared.contracts.thought import Response
from shared.engines.client import Endpoint, EndpointDown, EngineDied, RequestRefused, SpendCapReached
from shared.ledger.items import LeaseLost, NewRecord, Result
from shared.work.context import Work
from shared.work.registry import Hopeless

PROGRESS_SECONDS = 1.0


async def measure(work: Work) -> Result:
    """Samples of all problems of the item; one problem's error lets the others finish first, and then fails the item."""
    stage: EvaluateStage = work.stage
    ref = work.payload.roles["policy"]
    problems = await work.problems()
    for problem in problems if "judge" not in work.payload.roles else ():  # before anything is sampled
        if problem.grading.kind == "judge":
            raise Hopeless(f"problem {problem.id} is graded by a judge, and the stage names none (its `judge`)")
    endpoint = await work.endpoint("policy")
    judge = Judge(await work.endpoint("judge"), stage.judge_sampling) if "judge" in work.payload.roles else None
    weigher = Weigher(await work.endpoint("reward"), stage.weighs_by) if "reward" in work.payload.roles else None
    measuring = Measuring(work, problems, endpoint, judge, weigher)
    await measuring.go_on()
    bodies = [body for place in sorted(measuring.done) for body in measuring.done[place]]
    served = _served(ref.name, endpoint, problems, bodies, weigher)
    records = [NewRecord("sample", body["id"], body) for body in bodies]
    records += [NewRecord("served", f"{ref.name}/{work.lease.key}/{one.prompt}", one.model_dump(mode="json")) for one in served]
    summary = {"model": ref.name, "samples": len(bodies), "right": sum(body["verified"] for body in bodies)}
    summary["ungraded"] = sum(body["grading_error"] is not None for body in bodies)
    if weigher:
        summary["unscored"] = sum(body["scoring"]["error"] is not None for body in bodies)
    return Result(records=records, summary=summary)


class Measuring:
    """The problems of an item, by their places; a retry goes on from what was saved, and pays for nothing twice."""

    def __init__(
        self, work: Work, problems: Sequence[Problem], endpoint: Endpoint, judge: Judge | None, weigher: Weigher | None
    ) -> None:
        self._work = work
        self._problems = problems
        self._endpoint = endpoint
        self._judge = judge
        self._weigher = weigher
        self._drafts: dict[int, list[Response]] = {}
        """Samples that were saved without all that has to be said of them."""
        self._shown = 0.0
        self.done: dict[int, list[dict[str, Any]]] = {}
        """Finished samples as JSON."""

    async def go_on(self) -> None:
        """Does what is not done. Raises the error that decides what becomes of the item."""
        for body in await self._work.saved():
            if body.get("draft"):
                self._drafts[body["place"]] = [Response.model_validate(one) for one in body["samples"]]
            else:
                self.done[body["place"]] = body["samples"]
        missing = [(place, problem) for place, problem in enumerate(self._problems) if place not in self.done]
        outcomes = await asyncio.gather(*(self._measure(place, problem) for place, problem in missing), return_exceptions=True)
        failures = [(problem, error) for (_, problem), error in zip(missing, outcomes, strict=True) if error is not None]
        _raise_worst(failures)

    async def _measure(self, place: int, problem: Problem) -> None:
        samples = await self._drawn(place, problem)
        if problem.grading.kind == "judge":
            samples = await self._judged(place, problem, samples)
        if self._weigher:
            samples = await self._weigher.weigh(problem, samples)
        self.done[place] = _bodies(samples)
        await self._work.save(place, {"place": place, "samples": self.done[place]})
        if time.monotonic() - self._shown > PROGRESS_SECONDS:
            self._shown = time.monotonic()
            await self._work.progress({"step": len(self.done), "of": len(self._problems)})

    async def _drawn(self, place: int, problem: Problem) -> list[Response]:
        """The answers; kept where more is to be asked of them: a judge or a reward that is away must not cost them."""
        if place in self._drafts:
            return self._drafts[place]
        work, stage = self._work, self._work.stage
        origin = work.origin(model=self._endpoint.uri)
        samples = await sample_problem(self._endpoint, work.payload.roles["policy"].name, stage, problem, origin)
        if problem.grading.kind == "judge" or self._weigher:
            await self._keep(len(self._problems) + place, place, samples)
        return samples

    async def _judged(self, place: int, problem: Problem, samples: list[Response]) -> list[Response]:
        """The answers with the judge's word on each."""
        assert self._judge is not None, problem.id
        if all(sample.judgement is not None for sample in samples):
            return samples
        samples = list(await asyncio.gather(*(judged(self._judge, problem, sample) for sample in samples)))
        if self._weigher:
            await self._keep(2 * len(self._problems) + place, place, samples)
        return samples

    async def _keep(self, seq: int, place: int, samples: Sequence[Response]) -> None:
        await self._work.save(seq, {"place": place, "samples": _bodies(samples), "draft": True})


async def judged(judge: Judge, problem: Problem, sample: Response) -> Response:
    """A sample with the judge's word on it. Raises EngineError."""
    judgement, error = await judge.judge(problem, sample.text)
    graded = {"extracted": attempted(judgement), "verified": is_right(judgement), "grading_error": error, "judgement": judgement}
    return sample.model_copy(update=graded)


def _bodies(samples: Sequence[Response]) -> list[dict[str, Any]]:
    return [sample.model_dump(mode="json") for sample in samples]


def _served(
    model: str,
    endpoint: Endpoint,
    problems: Sequence[Problem],
    bodies: Sequence[dict[str, Any]],
    weigher: Weigher | None,
) -> list[Served]:
    """How the model was served, by the prompts that its problems were asked with."""
    judges = {f"{one['model']} ({one['prompt']})" for body in bodies if (one := body.get("judgement"))}
    by = {"judge": " + ".join(sorted(judges)), "reward": weigher.uri if weigher else ""}
    prompts = sorted({prompt_of(problem) for problem in problems})
    return [Served(model=model, uri=endpoint.uri, engine=endpoint.engine, prompt=prompt, **by) for prompt in prompts]


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
