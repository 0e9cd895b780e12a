r"""Mathematics kept from a translator: formulae and numbers become placeholders before a text is sent, and formulae again after.

    So $x^2 = 9$ and 5 * 6 = 30.\nThe answer is 30.

is sent as

    So ⟦1⟧ and ⟦2⟧.\n⟦3⟧

The sentence that states the final answer is a formula, too, where no box states it: readers of answers know it in this form only,
and the prompt that a model is trained and measured with asks for it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.answers.extract import final_answer, last_box

_LATEX = re.compile(
    r"""\$\$.{1,4000}?\$\$ | \\\[.{1,4000}?\\\] | \\\(.{1,4000}?\\\) | \\begin\{(?P<name>[a-z]+\*?)\}.{1,4000}?\\end\{(?P=name)\}
      | (?<!\\)\$(?=[^\s$])(?:[^$\n]|\\\$)*?(?<=[^\s\\])\$(?!\d)  # as pandoc reads it: $5 and $6 are prices
      | \\[A-Za-z]+(?:\s*(?:\{[^{}]*(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}[^{}]*)*\}|\[[^\[\]]*\]))*
      | ⟦[^⟦⟧]*⟧ | [⟦⟧]""",
    re.VERBOSE | re.DOTALL,
)
_ATOM = r"(?:\d+(?:,\d{3})*(?:\.\d+)?%?(?:[A-Za-z](?![A-Za-z]))?|(?<![A-Za-z])[A-Za-z](?![A-Za-z'])\d*)"
_OPERATOR = r"(?:[-+*/=<>≤≥≠≈×÷·±^√!]|\*\*|<=|>=)"
_BARE = re.compile(rf"\({{0,8}}(?:{_ATOM}\)*(?:[ ]?{_OPERATOR}+[ ]?[-+]?\(*{_ATOM}\)*)+|\d+(?:,\d{{3}})*(?:\.\d+)?%?)")
_PLACEHOLDER = re.compile(r"⟦\s*(\d+)\s*⟧")
_STATED = re.compile(r"\b(?:the )?(?:final )?answer(?: is|:)[^\n]{1,300}", re.IGNORECASE)


@dataclass(frozen=True)
class Protected:
    """A text whose mathematics was taken out."""

    text: str
    formulae: tuple[str, ...]
    """By number: the first is ⟦1⟧."""

    @property
    def words(self) -> str:
        """What is left to translate."""
        return _PLACEHOLDER.sub(" ", self.text)


def protect(text: str) -> Protected:
    """Takes formulae and numbers out of a text; `restore(protected.text, protected.formulae)` is the text again."""
    spans: list[tuple[int, int]] = []
    if last_box(text) is None and (stated := final_answer(text)) is not None:
        found = [match.span() for match in _STATED.finditer(text) if final_answer(match.group()) == stated]
        spans += found[-1:]
    for pattern in (_LATEX, _BARE):
        spans = sorted([*spans, *_outside(pattern, text, spans)])
    pieces, at = [], 0
    for number, (start, end) in enumerate(spans, start=1):
        pieces += [text[at:start], f"⟦{number}⟧"]
        at = end
    return Protected("".join([*pieces, text[at:]]), tuple(text[start:end] for start, end in spans))


def restore(text: str, formulae: Sequence[str]) -> str:
    """Puts the formulae back. Raises IndexError for a placeholder that stands for none: `differences` first."""
    return _PLACEHOLDER.sub(lambda match: formulae[int(match[1]) - 1], text)


def differences(before: Protected, text: str) -> list[str]:
    """What a translation did to the placeholders, and which numbers it wrote beside them.

    Each must stand there exactly once, on the same line as before: word order may move one within its line, but a number in
    another step is another calculation.
    """
    found = [int(match[1]) for match in _PLACEHOLDER.finditer(text)]
    wanted = range(1, len(before.formulae) + 1)
    wrong = [f"⟦{number}⟧ is missing" for number in wanted if number not in found]
    wrong += [f"⟦{number}⟧ stands there {found.count(number)} times" for number in wanted if found.count(number) > 1]
    wrong += [f"⟦{number}⟧ is not in the original" for number in sorted({*found} - {*wanted})]
    bare = _PLACEHOLDER.sub(" ", text)
    wrong += [f"the number {number} is not in the original" for number in re.findall(r"\d+", bare)]
    wrong += ["a bracket ⟦ or ⟧ is not part of a placeholder"] if re.search("[⟦⟧]", bare) else []
    if not wrong and _by_line(before.text) != _by_line(text):
        wrong.append("placeholders moved to other lines: keep the lines as they are")
    return wrong


def _by_line(text: str) -> list[list[str]]:
    """The placeholders of each line that has any."""
    return [found for line in text.splitlines() if (found := sorted(str(int(one)) for one in _PLACEHOLDER.findall(line)))]


def _outside(pattern: re.Pattern[str], text: str, taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Matches in what is not taken yet."""
    found = []
    starts, ends = [0, *(end for _, end in taken)], [*(start for start, _ in taken), len(text)]
    for start, end in zip(starts, ends, strict=True):
        for match in pattern.finditer(text, start, end):
            span = _balanced(text, *match.span()) if pattern is _BARE else match.span()
            if span[0] < span[1]:
                found.append(span)
    return found


def _balanced(text: str, start: int, end: int) -> tuple[int, int]:
    """Without the parentheses at either end that have no partner within."""
    while text[start:end].count("(") > text[start:end].count(")") and text[start] == "(":
        start += 1
    while text[start:end].count(")") > text[start:end].count("(") and text[end - 1] == ")":
        end -= 1
    return start, end
