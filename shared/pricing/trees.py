"""Stages of the searcher: trees grown, and rewards measured."""

from collections.abc import Iterator

from shared.contracts.models import Sampling
from shared.contracts.stages import EvalRewardStage, SearchStage
from shared.contracts.work import EVAL_REWARD_PROBLEMS
from shared.pricing.judges import Judged, assumed, judgement, judging, tries
from shared.pricing.ranges import NOTHING, Range, between, ranged
from shared.pricing.searches import Effort, effort
from shared.pricing.work import Asked, Given, Known, Problems, Work, bounded, frame, solve

CRITIC = Sampling(temperature=0.0, max_tokens=256)
"""A debate's critic (`services.searcher.strategies.debate.SAMPLING`)."""
ASK = "dialogue_next"
"""The words between two turns of a dialogue that stand for all of them: they are of like length."""


def search(stage: SearchStage, known: Known) -> Work:
    """One item a problem."""
    problems = known.problems(stage.problems)
    taken = effort(stage, problems.steps)
    notes = (f"{taken.bound}; expected {taken.steps.expected:.3g} steps a tree",)
    asked = tuple(one for one in _asked(stage, known, problems, taken) if one.calls.high)
    more = ("asked_again",) if stage.critic else ()
    return Work(
        items=problems.count,
        asked=asked,
        given=Given(trees=problems),
        assumed=(
            *known.assumed_of(stage.problems),
            "spread",
            *assumed(stage.reward),
            *more,
            *(("judgement",) if stage.critic else ()),
        ),
        notes=notes,
    )


def _asked(stage: SearchStage, known: Known, problems: Problems, taken: Effort) -> Iterator[Asked]:
    say, step = known.assumptions, min(problems.step, stage.sampling.max_tokens)
    each = bounded(ranged(step) * say.spread, stage.sampling)
    dialogue = stage.strategy in ("propose_critique", "debate")
    turn = frame(ASK, step=9, another=False) if dialogue else 0.0
    said = each + turn
    start = problems.question + solve()
    calls = problems.count * taken.requests
    read = calls * start + problems.count * taken.above * said
    # a dialogue's choices and reasons are no steps, but lines of the same length at most
    written = taken.requests if stage.strategy == "propose_critique" else taken.steps
    yield Asked("policy", stage.policy, calls, read, problems.count * written * each)
    if stage.critic:
        reviews = problems.count * taken.critic
        again = problems.count * between(0, taken.critic.expected * tries(2, say).expected, taken.critic.high)
        heard = problems.question + frame("debate_critic", question="", debate=(), steps=("",), standing="", actions=())
        prompt = reviews * heard + problems.count * taken.above * (said + judgement(CRITIC, say))
        yield Asked("critic", stage.critic, again, prompt, again * judgement(CRITIC, say))
    depth = stage.max_depth
    what = Judged(
        steps=problems.count * taken.steps,
        requests=problems.count * taken.rounds,
        question=problems.question,
        path=each * between(1, (taken.solution.expected + 1) / 2, depth),
        step=step,
        left=between(0, taken.solution.expected / 2, max(1, depth - 1)),
        ends=1 / taken.solution.expected,
        policy=stage.policy,
        sampling=stage.sampling,
    )
    yield from judging(stage.reward, what, say)


def eval_reward(stage: EvalRewardStage, known: Known) -> Work:
    """At most `EVAL_REWARD_PROBLEMS` solutions an item, and one that closes."""
    problems = known.problems(stage.problems)
    # labels were not counted where the set could not be read: as many as a solution has steps
    labelled = problems.labelled if problems.labelled.high else problems.steps
    depth = ranged(stage.max_depth)
    step = problems.step
    what = Judged(
        steps=problems.count * labelled,
        requests=problems.count,
        question=problems.question,
        path=ranged(step) * _half(problems.steps),
        step=min(step, stage.sampling.max_tokens),
        left=_half(problems.steps).at_most(depth),
        ends=1 / max(1.0, problems.steps.expected),
        policy=stage.policy,
        sampling=stage.sampling,
    )
    return Work(
        items=(problems.count * (1 / EVAL_REWARD_PROBLEMS)).up() + 1,
        asked=tuple(judging(stage.reward, what, known.assumptions)),
        assumed=(*known.assumed_of(stage.problems), *assumed(stage.reward)),
    )


def _half(steps: Range) -> Range:
    """The mean place of a step, of so many; for the most, the last one."""
    return between(0, (steps.expected + 1) / 2, max(steps.high, (steps.expected + 1) / 2)) if steps.high else NOTHING
