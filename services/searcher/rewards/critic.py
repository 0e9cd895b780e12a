"""critic: a language model calls each step correct or incorrect, with a reason in words (method: section 1, `judged`).

One request a step, all of a round at once: the question, the steps so far, and the new step. The reference answer is not among
them: a judge that knows the answer would call a right step wrong because it does not see how it leads there, and could not be used
where no answer is known. The answer is JSON, its reason first, so that the verdict follows from it.

An answer that is not of that form (cut, or the words of a model that keeps to no form) is asked for again: the judge is shown its
own words and what was wrong with them, because asking the same at temperature 0 brings the same. After `retries` of these the
whole judgement fails, with the judge's words.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from services.searcher.candidates import Candidate, Judgement, Rule, together
from services.searcher.growth import Growth
from services.searcher.rewards import Ask
from shared import prompts
from shared.contracts.base import Message
from shared.contracts.recipe import RewardPart
from shared.contracts.tree import Verdict
from shared.engines.client import Choice, Endpoint, Form

PROMPT = "critic_step"
SHOWN = 500
"""Characters of an unreadable answer that an error shows."""


class Unreadable(ValueError):
    """An answer of the critic that is not of the form it was asked for; says what is wrong with it."""


class Finding(BaseModel):
    """What the critic answers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str
    verdict: Literal["correct", "incorrect"]


FORM = Form(
    schema={
        "type": "object",
        "properties": {"reason": {"type": "string"}, "verdict": {"type": "string", "enum": ["correct", "incorrect"]}},
        "required": ["reason", "verdict"],
        "additionalProperties": False,
    }
)


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
        """Raises EngineError, and Unreadable if a judgement could not be read however often it was asked for."""
        return await together(self._one(growth, candidate) for candidate in candidates)

    async def _one(self, growth: Growth, candidate: Candidate) -> Judgement:
        steps = [step.text for step in growth.path(candidate.parent)]
        question = prompts.render(PROMPT, question=growth.problem.question, steps=steps, step=candidate.text)
        turns = [Message(role="user", content=question)]
        for tries_left in range(self._setting.retries, -1, -1):
            done = await self._endpoint.chat(turns, sampling=self._setting.sampling, form=FORM)
            self.spent["reward_tokens"] += done.prompt_tokens + done.completion_tokens
            [choice] = done.choices
            try:
                finding = read(choice)
            except Unreadable as error:
                self.spent["format_errors"] += 1
                if not tries_left:
                    raise Unreadable(
                        f"critic {self._endpoint.uri}: asked {self._setting.retries + 1} times about the step {candidate.text!r}, "
                        f"it gave no judgement that can be read ({error}); it said: {choice.text[:SHOWN]!r}"
                    ) from error
                turns = [turns[0], Message(role="assistant", content=choice.text), Message(role="user", content=again(str(error)))]
            else:
                right = finding.verdict == "correct"
                return Judgement(float(right), Verdict(finding.verdict), " ".join(finding.reason.split()))
        raise AssertionError("the last try returns or raises")


def read(choice: Choice) -> Finding:
    """The judgement in an answer; white space and a Markdown fence around it do no harm. Raises Unreadable."""
    if choice.finish_reason == "length":
        raise Unreadable("it was cut by the token limit before it ended")
    text = choice.text.strip()
    if text.startswith("```"):
        text = text.removeprefix("```").removeprefix("json").removesuffix("```").strip()
    try:
        finding = Finding.model_validate_json(text)
    except ValidationError as error:
        raise Unreadable("; ".join(": ".join([*map(str, one["loc"]), one["msg"]]) for one in error.errors())) from None
    if not finding.reason.strip():
        raise Unreadable("reason: it is empty")
    return finding


def again(wrong: str) -> str:
    """The turn that asks for a judgement once more."""
    return prompts.render("critic_again", wrong=wrong)
