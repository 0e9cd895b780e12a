"""The handler of `eval_reward` items: at most 32 labelled solutions, every step judged; and the closing item that reports.

A labelled solution is put before the reward as a search would have grown it: its steps are the nodes of a chain in a Growth, and
every step (and alternative) is a candidate that follows the steps before it. So every kind of reward works here unchanged, knows
what it knows in a search (`rollout`, and `arithmetic` of a final step, know the right answer; `prm` and `critic` do not), and is
asked about all steps of a solution at once.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from services.searcher import measures
from services.searcher.candidates import Candidate, Judgement
from services.searcher.growth import Growth
from services.searcher.policy import policy_of
from services.searcher.rewards import reward
from shared.contracts.judged import JudgedSolution, JudgedStep, RewardReport
from shared.contracts.problem import LabelledStep, Problem, Proposal, StepLabel
from shared.contracts.rewards import Reward
from shared.contracts.stages import EvalRewardStage, SearchStage
from shared.contracts.tree import Node, Verdict
from shared.engines.client import Endpoint, EngineDied, RequestRefused
from shared.ledger.items import LeaseLost, NewRecord, Result
from shared.work.context import Work
from shared.work.registry import Hopeless, handles


class NoPolicy:
    """Stands where a reward completes nothing: whatever else than its spending is asked of it is a mistake of the reward."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        raise Hopeless(f"a reward asked the policy for {name}, and this stage has none")


@handles("eval_reward")
async def eval_reward(work: Work) -> Result:
    """Judges the payload's solutions; in the closing item, reports on all of the stage."""
    return await (_close(work) if work.payload.close else _judge(work))


async def _judge(work: Work) -> Result:
    """All solutions at once; each is saved when it is through, so that a retry pays for none twice."""
    stage: EvalRewardStage = work.stage
    problems = await work.problems()
    labelled = [(place, problem) for place, problem in enumerate(problems) if problem.steps]
    done: dict[int, dict[str, Any]] = {body["place"]: body["solution"] for body in await work.saved()}
    models = {role: (await work.endpoint(role)).uri for role in sorted(work.payload.roles)}
    policy = await work.endpoint("policy") if stage.policy else None

    async def one(place: int, problem: Problem) -> None:
        solution = await judge_solution(work, stage, problem, policy)
        done[place] = solution.model_dump(mode="json")
        await work.save(place, {"place": place, "solution": done[place]})
        await work.progress({"step": len(done), "of": len(labelled)})

    missing = [(place, problem) for place, problem in labelled if place not in done]
    outcomes = await asyncio.gather(*(one(place, problem) for place, problem in missing), return_exceptions=True)
    _raise_worst([(problem, error) for (_, problem), error in zip(missing, outcomes, strict=True) if error is not None])
    bodies = [done[place] for place in sorted(done)]
    records = [NewRecord("judged", body["problem_id"], body) for body in bodies]
    records.append(NewRecord("judge", work.lease.key, {"models": models, "unlabelled": len(problems) - len(labelled)}))
    steps = [step for body in bodies for step in body["steps"]]
    called = sum(step["verdict"] == Verdict.INCORRECT for step in steps)
    return Result(records=records, summary={"solutions": len(bodies), "steps": len(steps), "called_incorrect": called})


def _raise_worst(failures: Sequence[tuple[Problem, BaseException]]) -> None:
    """Raises the failure that decides what becomes of the item: a lost lease or a dead engine first, a refusal last, which no
    retry mends.
    """
    urgent = (LeaseLost, EngineDied, asyncio.CancelledError)
    for _, error in sorted(failures, key=lambda failure: not isinstance(failure[1], urgent)):
        if not isinstance(error, RequestRefused):
            raise error
    for problem, error in failures:
        raise Hopeless(f"problem {problem.id}: {error}") from error


async def judge_solution(work: Work, stage: EvalRewardStage, problem: Problem, policy: Endpoint | None) -> JudgedSolution:
    """Every step of one labelled solution, judged. Raises EngineError, ValueError of a reward that gives no judgement."""
    search = SearchStage(
        problems=stage.problems,
        policy=stage.policy or "none",
        reward=stage.reward,
        max_depth=stage.max_depth,
        sampling=stage.sampling,
    )
    acting: Any = await policy_of(policy, problem) if policy else NoPolicy()
    growth = Growth(problem, search, acting, await reward(stage.reward, work.endpoint), _save_nothing)
    ids = await _token_ids(problem, policy)
    candidates: list[tuple[int, Proposal, Candidate]] = []
    for place, step in enumerate(problem.steps):
        for one in (step, *step.alternatives):
            candidates.append((place, one, Candidate(place, one.text, ids.get(one.text, ()))))
        growth.nodes.append(Node(id=place + 1, parent=place, depth=place + 1, text=step.text, token_ids=ids.get(step.text, ())))
    graded = await growth.check([candidate for _, _, candidate in candidates])
    await growth.judge(graded)
    for _, _, candidate in candidates:
        if not any(candidate is other for other in graded):
            candidate.judgement = Judgement(None, Verdict.UNKNOWN, "the answer that it states could not be graded")
    judged = [
        JudgedStep(
            step=place + 1,
            alternative=not isinstance(one, LabelledStep),
            label=one.label,
            score=candidate.judgement.score,
            verdict=candidate.judgement.verdict,
            reason=candidate.judgement.reason,
        )
        for place, one, candidate in candidates
    ]
    origin = work.origin(model=policy.uri if policy else None)
    return JudgedSolution(origin=origin, problem_id=problem.id, reward=named(stage.reward), steps=tuple(judged), cost=growth.cost)


async def _save_nothing(seq: int, body: dict[str, Any]) -> None:
    """A labelled solution grows no further: there are no rounds."""


async def _token_ids(problem: Problem, policy: Endpoint | None) -> dict[str, tuple[int, ...]]:
    """The ids of each step with the newline that ends it, for a policy that goes on from ids."""
    if policy is None or not policy.local:
        return {}
    texts = list(dict.fromkeys(one.text for step in problem.steps for one in (step, *step.alternatives)))
    found = await asyncio.gather(*(policy.tokenize(f"{text}\n") for text in texts))
    return {text: tuple(ids) for text, ids in zip(texts, found, strict=True)}


def named(setting: Reward) -> str:
    """A reward in a word: `critic`, `weighted (arithmetic + critic)`."""
    return f"{setting.kind} ({' + '.join(part.kind for part in setting.parts)})" if setting.parts else setting.kind


async def _close(work: Work) -> Result:
    """The report on all solutions of the stage. Nothing to report on is an error, not a report of zeros."""
    stage: EvalRewardStage = work.stage
    solutions = [JudgedSolution.model_validate(body) for body in await work.records(work.lease.stage, "judged")]
    judges = await work.records(work.lease.stage, "judge")
    unlabelled = sum(body["unlabelled"] for body in judges)
    benchmark, asked = await work.asked(stage.problems)
    if not solutions:
        raise Hopeless(f"no labelled solution was judged ({unlabelled} problems of {benchmark} have no labelled steps)")
    models: dict[str, str] = {role: uri for body in judges for role, uri in body["models"].items()}
    report = build_report(work, benchmark, solutions, models, unlabelled, asked or len(solutions) + unlabelled)
    summary = {"f1": report.steps.f1, "first_error_accuracy": report.first_error_accuracy}
    return Result(records=[NewRecord("reward_report", "report", report.model_dump(mode="json"))], summary=summary)


def build_report(
    work: Work, benchmark: str, solutions: Sequence[JudgedSolution], models: dict[str, str], unlabelled: int, asked: int
) -> RewardReport:
    """Figures over all judged solutions. `asked`: problems that the stage was to judge."""
    steps = [step for solution in solutions for step in solution.steps]
    wrong, right, both = measures.first_error(solutions)
    costs = [solution.cost for solution in solutions]
    return RewardReport(
        origin=work.origin(),
        benchmark=benchmark,
        reward=named(work.stage.reward),
        models=models,
        steps=measures.step_level(solutions),
        solutions=measures.solution_level(solutions),
        first_error_accuracy=wrong,
        correct_accuracy=right,
        processbench_f1=both,
        solution_count=len(solutions),
        left_out={
            "steps after an error": sum(step.label is StepLabel.AFTER_ERROR for step in steps),
            "steps without a label": sum(step.label is StepLabel.NONE for step in steps),
            "solutions without a known first error": sum(not measures.tells(measures.path(solution)) for solution in solutions),
        },
        unlabelled=unlabelled,
        missing=max(0, asked - len(solutions) - unlabelled),
        unknown=sum(measures.counted(step) and step.verdict is Verdict.UNKNOWN for step in steps),
        prompt_tokens=sum(cost.prompt_tokens for cost in costs),
        completion_tokens=sum(cost.completion_tokens for cost in costs),
        reward_tokens=sum(cost.reward_tokens for cost in costs),
        format_errors=sum(cost.format_errors for cost in costs),
    )
