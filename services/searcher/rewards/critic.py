"""critic: a language model calls each step correct or incorrect, with a reason in words (method: section 1, `judged`).

One request a step, all of a round at once: the question, the steps so far, and the new step. The reference answer is not among
them: a judge that knows the answer would call a right step wrong because it does not see how it leads there, and could not be used
where no answer is known. The answer is JSON, its reason first, so that the verdict follows from it.

An answer that is not of that form is asked for again (`shared.engines.forms`). After `retries` of these the whole judgement
fails, with the judge's words.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict

from services.searcher.candidates import Candidate, Judgement, Rule, together
from services.searcher.growth import Growth
from services.searcher.rewards import Ask
from shared import prompts
from shared.contracts.rewards import RewardPart
from shared.contracts.tree import Verdict
from shared.engines import forms
from shared.engines.client import Endpoint

PROMPT = "critic_step"
FIELDS = {"verdict": {"type": "string", "enum": ["correct", "incorrect"]}}


class Finding(forms.Finding):
    """What the critic answers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verdict: Literal["correct", "incorrect"]


async def build(setting: RewardPart, ask: Ask) -> "CriticJudge":
    """The judge of `reward: {kind: critic, model: m}`. Raises EngineError."""
    return CriticJudge(setting, await ask("reward"))


class CriticJudge:
    """Asks a language model about every candidate."""

    rule = Rule.JUDGED

    def __init__(self, setting: RewardPart, endpoint: Endpoint) -> None:
        self.spent: Counter[str] = Counter()
        self._setting = setting
        self._endpoint = endpoint

    async def judge(self, growth: Growth, candidates: Sequence[Candidate]) -> list[Judgement]:
        """Raises EngineError, and forms.Unreadable if a judgement could not be read however often it was asked for."""
        return await together(self._one(growth, candidate) for candidate in candidates)

    async def _one(self, growth: Growth, candidate: Candidate) -> Judgement:
        finding = await forms.ask_form(
            self._endpoint,
            prompts.render(
                PROMPT,
                question=growth.problem.question,
                steps=[step.text for step in growth.path(candidate.parent)],
                step=candidate.text,
            ),
            FIELDS,
            Finding,
            about=f"the step {candidate.text!r}",
            sampling=self._setting.sampling,
            tries=self._setting.retries + 1,
            count=self._count,
        )
        return Judgement(float(finding.verdict == "correct"), Verdict(finding.verdict), " ".join(finding.reason.split()))

    def _count(self, what: str, number: int = 1) -> None:
        self.spent[what] += number
