r"""What kind of thing a final answer is: by its form alone, in plain text or LaTeX.

| kind | for example |
|---|---|
| integer | `72`, `$1{,}000`, `-4`, `75^\circ`, `12\%` |
| decimal | `0.15`, `.35625` |
| fraction | `\frac{3}{4}`, `1\frac{4}{5}`, `3/4` |
| interval | `(3,4]`, `(-\infty, 0]`, `(0,9) \cup (9,36)`, and `(2,4)`, which may be a point as well |
| choice | `(C)`, `\text{(E)}`, `B` |
| text | `\text{Evelyn}`, `even` |
| expression | everything else: `3\sqrt{13}`, `1+2i`, `2k+2`, `204_5`, `x = -2y` |
"""

import re

from shared.answers.canonical import canonical, is_number, is_words
from shared.contracts.stages.data import AnswerKind

_POINT = re.compile(r"\d*\.\d")
_INTERVAL = re.compile(r"[(\[](?P<low>[^,()\[\]]+),(?P<high>[^,()\[\]]+)[)\]]")


def kind_of(answer: str) -> AnswerKind:
    """The kind of an answer as its publisher or a model wrote it."""
    form = canonical(answer)
    if is_number(form):
        return "decimal" if _POINT.search(answer) else "fraction" if "/" in form else "integer"
    if re.fullmatch(r"[A-Z]", form):
        return "choice"
    if is_words(form):
        return "text"
    parts = [part.strip() for part in re.split(r"\\cup", form)]
    if all(_is_interval(part) for part in parts):
        return "interval"
    return "expression" if re.search(r"[\d\\^_=+*/()]|^[A-Za-z]$", form) else "text"


def _is_interval(text: str) -> bool:
    """Brackets of two kinds or square ones, an infinite end, or two rising numbers."""
    found = _INTERVAL.fullmatch(text)
    if found is None:
        return False
    low, high = found["low"].strip(), found["high"].strip()
    if "infty" in low + high or text[0] == "[" or text[-1] == "]":
        return True
    return is_number(low) and is_number(high) and _value(low) < _value(high)


def _value(form: str) -> float:
    above, _, below = form.partition("/")
    return int(above) / int(below or 1)
