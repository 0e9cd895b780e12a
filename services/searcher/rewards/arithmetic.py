"""arithmetic: a step is checked by doing its sums. No model is asked, and the reason says in words what is wrong.

| a step | verdict, score |
|---|---|
| states an equality that does not hold | incorrect, 0: "27 - 21 = 6, not 4" |
| says again what an earlier step on its path said | incorrect, 0 |
| states a wrong final answer that no step before it mentions | incorrect, 0: "the steps lead to 70, not 72" |
| states equalities, and all hold | correct, 1: "5 * 6 = 30 checks out" |
| states nothing that can be checked | unknown, 0.5 |

This judges the sums, not the idea: a step may do the wrong sum rightly. A final step whose answer did not verify is therefore never
called correct (unknown at best), and one whose answer verified is called incorrect only for a sum of its own.
"""

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from services.searcher.candidates import Candidate, Judgement, Rule, normalised
from services.searcher.growth import Growth
from services.searcher.rewards import Ask
from shared.answers.canonical import number_in
from shared.answers.equalities import equalities, numbers
from shared.contracts.rewards import RewardPart
from shared.contracts.tree import Verdict

MIN_WORDS = 4
"""A shorter line (a bracket of LaTeX, a heading) may well come twice."""
_WORD = re.compile(r"[^\W\d_]{2,}")
_NUMBER_OF_STEP = re.compile(r"^\W*step\s+\d+\W*", re.IGNORECASE)


async def build(setting: RewardPart, ask: Ask) -> "ArithmeticJudge":
    """The judge of `reward: {kind: arithmetic}`."""
    return ArithmeticJudge()


class ArithmeticJudge:
    """Judges each candidate by its own text and the steps before it."""

    rule = Rule.JUDGED

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()

    async def judge(self, growth: Growth, candidates: Sequence[Candidate]) -> list[Judgement]:
        return [
            judge_step(candidate.text, [step.text for step in growth.path(candidate.parent)], candidate.answer, candidate.verified)
            for candidate in candidates
        ]


def judge_step(text: str, before: Sequence[str], answer: str | None = None, verified: bool | None = None) -> Judgement:
    """What the sums say of a step that follows the steps `before`. `answer`, `verified`: of a final step."""
    stated = equalities(text)
    wrong = [one.words for one in stated if not one.holds]
    if wrong:
        return Judgement(0.0, Verdict.INCORRECT, "; ".join(wrong))
    if answer is None and len(_WORD.findall(text)) >= MIN_WORDS and _bare(text) in {_bare(step) for step in before}:
        return Judgement(0.0, Verdict.INCORRECT, "this only repeats an earlier step")
    if verified is False:
        result = _contradicted(text, before, answer or "")
        if result is not None:
            return Judgement(0.0, Verdict.INCORRECT, f"the steps lead to {result}, not {answer}")
        return Judgement(0.5, Verdict.UNKNOWN)
    if stated:
        return Judgement(1.0, Verdict.CORRECT, f"{stated[-1].words} checks out")
    return Judgement(0.5, Verdict.UNKNOWN)


def _bare(step: str) -> str:
    """A step's words without its number."""
    return _NUMBER_OF_STEP.sub("", normalised(step))


def _contradicted(text: str, before: Sequence[str], answer: str) -> str | None:
    """The last result, if the steps state results and `answer` is a number that none of them mentions; else None."""
    value = number_in(answer)
    results = [one for step in [*before, text] for one in equalities(step)]
    if value is None or not results:
        return None
    mentioned = set().union(*(numbers(step) for step in before), *({abs(one.result)} for one in equalities(text)))
    if any(abs(value) * scale in mentioned for scale in (1, 100, Fraction(1, 100))):
        return None
    return results[-1].right
