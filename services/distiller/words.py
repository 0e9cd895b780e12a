r"""A problem's words as comparisons see them: case, punctuation and LaTeX spacing aside, numbers kept.

`What is $1{,}000\,+\,\dfrac{3}{4}$?` is `what is 1000 frac 3 4`.
"""

import re

_GONE = re.compile(r"\\(?:left|right|displaystyle|[bB]igg?[lr]?|q?quad)(?![A-Za-z])|\\[!,;: ]|[~$]")
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\\?!?)(?=\d{3}(?!\d))")
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def words(text: str) -> list[str]:
    """Words and numbers, in order."""
    plain = _THOUSANDS.sub("", _FRACTION.sub(r"\\frac", text))
    return _TOKEN.findall(_GONE.sub(" ", plain).casefold())


def numbers(found: list[str]) -> list[str]:
    """The numbers among words, sorted: two problems that differ in them are two problems."""
    return sorted(word for word in found if _NUMBER.fullmatch(word))


def ngrams(found: list[str], n: int) -> list[str]:
    """All runs of `n` words, in order; none if there are fewer."""
    return [" ".join(found[place : place + n]) for place in range(len(found) - n + 1)]
