"""rollout: a step is worth the share of Monte-Carlo completions from it that reach the right answer.

Math-Shepherd's estimate (arXiv 2312.08935, section 3.3), with the policy itself as completer: `rollouts` independent samples of one
prefix, never several solutions in one text. Score: the share (its soft estimate). Verdict: correct if any completion gets there
(its hard estimate), so a right step that the policy seldom finishes may be called incorrect: more rollouts make that rarer.
A final step needs no completion: its own answer decides.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from services.searcher.candidates import Candidate, Judgement, Rule, together
from services.searcher.growth import Growth
from services.searcher.policy import ContextFull
from services.searcher.rewards import Ask
from shared.answers.extract import final_answer
from shared.answers.verify import GradingError, verify
from shared.contracts.models import Sampling
from shared.contracts.rewards import RewardPart
from shared.contracts.tree import Verdict

log = structlog.get_logger()


async def build(setting: RewardPart, ask: Ask) -> "RolloutJudge":
    """The judge of `reward: {kind: rollout, rollouts: k}`."""
    return RolloutJudge(setting.rollouts)


@dataclass(frozen=True)
class RolloutJudge:
    """Completes every candidate `rollouts` times, all candidates of a round at once."""

    rollouts: int
    spent: Counter[str] = field(default_factory=Counter)
    """Nothing: completions are the policy's, and counted there."""
    rule = Rule.SCORED

    async def judge(self, growth: Growth, candidates: Sequence[Candidate]) -> list[Judgement]:
        return await together(self._one(growth, candidate) for candidate in candidates)

    async def _one(self, growth: Growth, candidate: Candidate) -> Judgement:
        if candidate.final:
            right = candidate.verified is True
            said = f"the answer {candidate.answer} is {'right' if right else 'wrong'}"
            return Judgement(float(right), Verdict.CORRECT if right else Verdict.INCORRECT, said)
        if candidate.ended:
            return Judgement(0.0, Verdict.UNKNOWN, "the solution stops here without an answer")
        try:
            texts = await growth.policy.rollouts(growth.steps(candidate), self.rollouts, self._sampling(growth, candidate))
        except ContextFull:
            return Judgement(None, Verdict.UNKNOWN, "no completion fits into the model's context")
        graded = [one for one in await together(reaches(growth.problem.answer, text) for text in texts) if one is not None]
        if not graded:
            return Judgement(None, Verdict.UNKNOWN, "no completion could be graded")
        share = sum(graded) / len(graded)
        verdict = Verdict.CORRECT if share else Verdict.INCORRECT
        return Judgement(share, verdict, f"{sum(graded)} of {len(graded)} completions from here reach the right answer")

    def _sampling(self, growth: Growth, candidate: Candidate) -> Sampling:
        """The search's own sampling, with room for as many steps as the search still has."""
        depth = growth.nodes[candidate.parent].depth + 1
        steps_left = max(1, growth.stage.max_depth - depth)
        return growth.stage.sampling.model_copy(update={"max_tokens": growth.stage.sampling.max_tokens * steps_left})


async def reaches(gold: str, text: str) -> bool | None:
    """Whether a completion's first stated answer (where the search would have ended) is `gold`; None if it can't be graded."""
    lines = (final_answer(line) for line in text.splitlines())
    answer = next((answer for answer in lines if answer is not None), None) or final_answer(text)
    if answer is None:
        return False
    try:
        return await verify(gold, answer)
    except GradingError as error:
        log.warning("search.ungraded", answer=answer, error=str(error))
        return None
