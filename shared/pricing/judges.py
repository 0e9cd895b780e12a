"""What a reward asks of models to judge the steps of trees, or of labelled solutions."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.contracts.models import Sampling
from shared.contracts.rewards import Reward, RewardPart
from shared.pricing.assumptions import Assumptions
from shared.pricing.ranges import NOTHING, Range, between, ranged
from shared.pricing.work import Asked, frame, solve


@dataclass(frozen=True)
class Judged:
    """What is to be judged, all problems together; lengths in tokens."""

    steps: Range
    """Steps that are judged."""
    requests: Range
    """Rounds in which they come: one request each to a process reward model."""
    question: Range
    path: Range
    """Of the path that ends with a judged step, the mean."""
    step: float
    left: Range
    """Steps from a judged one to the end of a solution, for rollouts."""
    ends: float
    """Share of judged steps that are final, expected: rollouts pass them over."""
    policy: str | None
    sampling: Sampling


def judging(reward: Reward, what: Judged, say: Assumptions) -> Iterator[Asked]:
    """The requests of a reward; of a weighted one, all its parts'. `arithmetic` asks no model."""
    if reward.kind == "weighted":
        for place, part in enumerate(reward.parts):
            yield from _asked(part, f"reward.{place}", what, say)
    else:
        yield from _asked(reward, "reward", what, say)


def assumed(reward: Reward) -> tuple[str, ...]:
    """The assumptions that it rests on."""
    critics = any(part.kind == "critic" for part in (reward, *reward.parts))
    return ("judgement", "asked_again") if critics else ()


def judgement(sampling: Sampling, say: Assumptions) -> Range:
    """Tokens of one critic's answer."""
    limit = sampling.max_tokens
    return between(min(say.judgement.low, limit), say.judgement.expected, limit)


def _asked(part: RewardPart, role: str, what: Judged, say: Assumptions) -> Iterator[Asked]:
    if part.kind == "rollout":
        assert what.policy is not None
        calls = between(0, what.steps.expected * (1 - what.ends), what.steps.high)
        prompt = what.question + what.path + solve()
        most = what.sampling.max_tokens * max(1.0, what.left.high)
        each = between(0, what.step * what.left.expected, most)
        yield Asked("rollouts", what.policy, calls, calls * prompt, calls * part.rollouts * each)
    elif part.kind == "critic":
        assert part.model is not None
        calls = what.steps * tries(part.retries, say)
        prompt = what.question + what.path + frame("critic_step", question="", steps=(), step="")
        yield Asked(role, part.model, calls, calls * prompt, calls * judgement(part.sampling, say))
    elif part.kind == "prm":
        assert part.model is not None
        yield Asked(role, part.model, what.requests, what.steps * (what.question + what.path), NOTHING)


def tries(retries: int, say: Assumptions) -> Range:
    """How often something is asked that may be asked again `retries` times."""
    return ranged(1) + say.asked_again.at_most(1) * retries
