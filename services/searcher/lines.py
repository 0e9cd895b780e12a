"""Lines: what a model sampled, and a whole sampled solution cut into its lines, each with the token ids that wrote it.

A token belongs to the line in which it begins, so one that ends a line belongs to it with all that it says beyond: a blank line
("\\n\\n"), or, in few vocabularies, the first word of the next. That is how a step comes that is sampled alone and stopped at its
newline, too. Ids put together again are those that were sampled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from shared.engines.client import EngineError
from shared.engines.prm.steps import STEP_END


@dataclass(frozen=True)
class Sampled:
    """One sampled continuation, in the model's own words."""

    text: str
    token_ids: tuple[int, ...]
    """The step's end included; empty where the engine gives none."""
    tokens: int
    end: Literal["line", "text", "cut"]
    """Ended by a newline, by the end of the model's text, or cut (by the token limit, or by the endpoint)."""
    spills: bool = False
    """Its last token begins the words of the next line, too ("\\nStep"): what follows goes on from those very ids."""


def cut_by_ids(text: str, ids: Sequence[int], breaks: Mapping[int, str], whole: bool) -> list[Sampled]:
    """The steps of a whole solution with their ids. `whole`: the model ended it, no limit did.

    `breaks`: the tokens that hold a newline, with their texts.
    Raises EngineError if `text` and `ids` do not have the same lines.
    """
    lines = text.split(STEP_END)
    spans: list[list[int]] = [[]]
    spills = []
    for token in ids:
        spans[-1].append(token)
        rest = breaks.get(token, "")
        while STEP_END in rest:
            rest = rest.partition(STEP_END)[2]
            spills.append(bool(rest.strip()))
            spans.append([])
    spills.append(False)
    if len(spans) != len(lines):
        raise EngineError(f"the engine's text has {len(lines)} lines, its token ids {len(spans)}: {text!r}, {list(ids)}")
    return _steps(
        [Sampled(*one) for one in zip(lines, map(tuple, spans), map(len, spans), _ends(lines, whole), spills, strict=True)]
    )


def cut_by_length(text: str, tokens_per_character: float, whole: bool) -> list[Sampled]:
    """The steps of a whole solution from a server that tells no ids: tokens shared out by length."""
    lines = text.split(STEP_END)
    ends = _ends(lines, whole)
    return _steps([Sampled(line, (), round(len(line) * tokens_per_character), end) for line, end in zip(lines, ends, strict=True)])


def _ends(lines: Sequence[str], whole: bool) -> list[Literal["line", "text", "cut"]]:
    ends: list[Literal["line", "text", "cut"]] = ["line"] * (len(lines) - 1)
    return [*ends, "text" if whole else "cut"]


def _steps(lines: Sequence[Sampled]) -> list[Sampled]:
    """The lines that are not blank. A blank one's tokens go to the step after it, or, at the end of the text, to the last.

    Where all are blank, the one step is blank.
    """
    steps: list[Sampled] = []
    blank: Sampled | None = None
    for line in lines:
        whole = line
        if blank:
            whole = replace(line, token_ids=blank.token_ids + line.token_ids, tokens=blank.tokens + line.tokens)
        if line.text.strip():
            steps.append(whole)
        blank = None if line.text.strip() else whole
    if blank and not steps:
        return [blank]
    if blank and blank.end == "text":
        last = steps.pop()
        steps.append(replace(last, token_ids=last.token_ids + blank.token_ids, tokens=last.tokens + blank.tokens, end="text"))
    return steps
