"""What a price rests on that no recipe tells. Each is a range with its reason, and each can be set: `--assume verified=0.3`."""

from pydantic import Field, ValidationError

from shared.contracts.base import Frozen
from shared.pricing.ranges import Range


def _range(low: float, expected: float, high: float, why: str) -> Range:
    found: Range = Field(default=Range(low=low, expected=expected, high=high), description=why)
    return found


class Assumptions(Frozen):
    """Shares are of 1, lengths are tokens. Defaults are guesses where their description names no measurement."""

    problems: Range = _range(1000, 1000, 1000, "problems of a set that is not stored here and for which the recipe gives no count")
    question: Range = _range(40, 80, 200, "tokens of a question, where the set cannot be measured")
    solution: Range = _range(100, 250, 600, "tokens of a solution, where the set has none or cannot be measured")
    steps: Range = _range(4, 8, 16, "steps of a solution, where the set has none or cannot be measured")
    tokenizer: Range = _range(0.8, 1, 1.25, "a measured text's tokens, of our estimate without a tokenizer")
    spread: Range = _range(0.5, 1, 2, "length of a step or an answer that a model writes, of a solution's; at most its max_tokens")
    curated: Range = _range(
        0.5, 0.95, 1, "share of problems that a curation's rules keep (docs/datasets.md: all but 7 of GSM8K's 7,473)"
    )
    in_band: Range = _range(0.1, 0.5, 1, "share of problems within a band of difficulty")
    verified: Range = _range(0.2, 0.5, 1, "share of a teacher's or policy's answers that verify")
    answer: Range = _range(0.1, 0.4, 1, "a teacher's answer or expansion, as a share of max_tokens")
    reflective: Range = _range(0.2, 0.6, 1, "share of problems with a verified response that has the n-grams asked for")
    solved: Range = _range(0.2, 0.7, 1, "share of trees with a right leaf (docs/search.md: 14 of 20)")
    wrong_branch: Range = _range(0.3, 0.7, 1, "share of solved trees with a wrong turn that can be taken")
    pairable: Range = _range(0.05, 0.4, 1, "share of problems with enough right and enough wrong responses for pairs")
    wrong_turns: Range = _range(0.3, 1, 3, "what wrong turns add to a long thought, in lengths of its shortcut")
    checks: Range = _range(0.3, 1.1, 1.5, "what checks of all its steps add (docs/replication.md, by words: 1.1)")
    reformatted: Range = _range(1, 2, 6, "a reformatted solution's length, of the original's")
    translated: Range = _range(0.5, 1, 2, "a translation's tokens, of the original's")
    asked_again: Range = _range(0, 0.2, 1, "of the retries that a rewrite or judgement may have, those that it takes")
    judgement: Range = _range(15, 60, 256, "tokens of a critic's judgement or a reflection, if its max_tokens allows as many")


class BadAssumption(ValueError):
    """An assumption that cannot be set so; says which and why."""


def assumed(changes: dict[str, str], base: Assumptions | None = None) -> Assumptions:
    """Assumptions with some of them set: `0.3`, or `0.1:0.3:0.9` for low, expected and high. Raises BadAssumption."""
    base = base or Assumptions()
    found: dict[str, Range] = {}
    for name, text in changes.items():
        if name not in Assumptions.model_fields:
            raise BadAssumption(f"{name}: no such assumption (known: {', '.join(Assumptions.model_fields)})")
        try:
            values = [float(part) for part in text.split(":")]
        except ValueError:
            raise BadAssumption(f"{name}: expected a number, or LOW:EXPECTED:HIGH (got {text})") from None
        if len(values) not in (1, 3):
            raise BadAssumption(f"{name}: expected a number, or LOW:EXPECTED:HIGH (got {text})")
        low, expected, high = values if len(values) == 3 else values * 3
        try:
            found[name] = Range(low=low, expected=expected, high=high)
        except ValidationError:
            raise BadAssumption(f"{name}: low, expected and high must be at least 0 and rise (got {text})") from None
    return base.model_copy(update=found)
