"""weighted: several rewards at once, all asked about the same steps.

| what | is |
|---|---|
| score | the mean of the parts' scores by their weights; a part that gave none is left out, and the others' weights count for more |
| verdict | incorrect if a part that judges (rule `judged`) says so: a fault that was found is not outvoted; else incorrect if the mean is below `threshold`; else correct if any part says so; else unknown |
| reason | what each part said, after its kind; a part without a score is named as such |
| rule | `judged` as soon as one part judges: what is called incorrect is pruned, and the mean ranks the rest |

An `unknown` with a score (0.5 of `arithmetic` for a step without sums) takes part in the mean: it says "neither".
"""  # noqa: E501 (rows of a table)

import math
from collections import Counter
from collections.abc import Sequence

from services.searcher.candidates import Candidate, Judge, Judgement, Rule, together
from services.searcher.growth import Growth
from services.searcher.rewards import Ask, reward
from shared.contracts.rewards import Reward, RewardPart
from shared.contracts.tree import Verdict
from shared.engines.client import Endpoint


async def build(setting: Reward, ask: Ask) -> "WeightedJudge":
    """The judge of `reward: {kind: weighted, parts: [...]}`; part n asks for the role `reward.n`. Raises EngineError."""
    judges = await together(reward(part, _of_part(ask, place)) for place, part in enumerate(setting.parts))
    return WeightedJudge(setting.parts, judges, setting.threshold)


def _of_part(ask: Ask, place: int) -> Ask:
    """What a part asks with: its `reward` is the stage's `reward.PLACE`."""

    async def asked(role: str) -> Endpoint:
        return await ask(f"{role}.{place}")

    return asked


class WeightedJudge:
    """Has every part judge all candidates, all parts at once."""

    def __init__(self, parts: Sequence[RewardPart], judges: Sequence[Judge], threshold: float) -> None:
        self._parts = parts
        self._judges = judges
        self._threshold = threshold
        self.rule = Rule.JUDGED if any(judge.rule is Rule.JUDGED for judge in judges) else Rule.SCORED

    @property
    def spent(self) -> Counter[str]:
        """What all parts spent together."""
        return sum((judge.spent for judge in self._judges), Counter())

    async def judge(self, growth: Growth, candidates: Sequence[Candidate]) -> list[Judgement]:
        """Raises ValueError unless every part judges each candidate, and what the parts raise."""
        found = await together(judge.judge(growth, candidates) for judge in self._judges)
        for place, judgements in enumerate(found):
            if len(judgements) != len(candidates):
                part = f"reward.parts.{place} ({self._parts[place].kind})"
                raise ValueError(f"{part}: {len(judgements)} judgements for {len(candidates)} steps")
        return [self._combined([judgements[place] for judgements in found]) for place in range(len(candidates))]

    def _combined(self, judgements: Sequence[Judgement]) -> Judgement:
        """One step's judgements as one."""
        score = weighted_mean([part.weight for part in self._parts], [one.score for one in judgements])
        pairs = list(zip(self._parts, judgements, strict=True))
        reason = "; ".join(said for part, one in pairs if (said := _said(part, one)))
        return Judgement(score, self._verdict(score, judgements), reason or None)

    def _verdict(self, score: float | None, judgements: Sequence[Judgement]) -> Verdict:
        pairs = zip(self._judges, judgements, strict=True)
        if any(judge.rule is Rule.JUDGED and one.verdict is Verdict.INCORRECT for judge, one in pairs):
            return Verdict.INCORRECT
        if score is not None and score < self._threshold:
            return Verdict.INCORRECT
        return Verdict.CORRECT if any(one.verdict is Verdict.CORRECT for one in judgements) else Verdict.UNKNOWN


def weighted_mean(weights: Sequence[float], scores: Sequence[float | None]) -> float | None:
    """The mean of the scores that are there, by their weights; None if none is. It lies between the least and the greatest."""
    there = [(weight, score) for weight, score in zip(weights, scores, strict=True) if score is not None]
    if not there:
        return None
    mean = math.fsum(weight * score for weight, score in there) / math.fsum(weight for weight, _ in there)
    least, greatest = min(score for _, score in there), max(score for _, score in there)
    return mean if math.isnan(mean) else min(max(mean, least), greatest)  # rounding may lead out of [0, 1]


def _said(part: RewardPart, judgement: Judgement) -> str:
    words = [*([judgement.reason] if judgement.reason else []), *(["no score"] if judgement.score is None else [])]
    return f"{part.kind}: {', '.join(words)}" if words else ""
