"""Arithmetic expressions as people and models write them in a line of text: read into tokens, evaluated exactly.

    $48/2      5 x 6 apples      \\frac{1}{2} \\times 10      1,200 - 20% of 50      2 1/2      3(4 + 5)      5²

Nothing is guessed: an expression that is not read as a whole is Unreadable.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from shared.answers.units import FACTORS, NOT_UNITS, singular

MAX_DIGITS = 24
MAX_EXPONENT = 32
MAX_TOKENS = 120
"""Of one expression: bounds the parser's depth."""
OPERATORS = {"−": "-", "–": "-", "×": "*", "✕": "*", "·": "*", "⋅": "*", "∙": "*", "∗": "*", "÷": "/", "∕": "/", "⁄": "/"}
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<name>\d+(?::\d+)+ | \d+(?:st|nd|rd|th)\b)                  # a time of day, an ordinal: no numbers
      | (?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)
      | (?P<dots>\.{2,}|…)
      | (?P<bad>=>|<=|>=|!=|->|[≠≤≥<>√∛|_°∞±~\#&@\\π])
      | (?P<equals>==?|≈|≃|≅)
      | (?P<operator>[-−–+*/^×✕·⋅∙∗÷∕⁄])
      | (?P<open>[(\[{]) | (?P<close>[)\]}])
      | (?P<percent>%) | (?P<currency>[$€£])
      | (?P<word>[^\W\d_]+(?:['’-][^\W\d_]+)*)
      | (?P<stop>.)""",
    re.VERBOSE | re.DOTALL,
)


class Unreadable(Exception):
    """The tokens are no expression that can be evaluated."""


@dataclass(frozen=True)
class Token:
    """A piece of text. `kind` is a group of `_TOKEN`, or `unit` for a word that is one."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def in_expression(self) -> bool:
        """Whether it may be part of an expression."""
        return self.kind in ("number", "operator", "open", "close", "percent", "currency", "unit")


@dataclass(frozen=True)
class Value:
    """What an expression comes to, and what must be known of it for a fair comparison."""

    amount: Fraction
    bare: bool
    """A single literal: nothing was computed."""
    digits: int
    """Decimal places of a bare literal; two more for a percentage."""
    units: frozenset[str]
    additive: bool
    """Holds a sum or a difference."""
    percent: bool
    loose: bool
    """Means different things to different people: "100 + 20%", "20% of 50 + 10", "3 / 1/4"."""
    first: Fraction
    """The first number written."""
    divides: bool


def tokens_of(text: str) -> list[Token]:
    """Tokens of a respelled text, units told apart from other words."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind == "space":
            continue
        token = Token(kind, match.group(), match.start(), match.end())
        if kind == "word" and (_is_times(token, found, text) or _is_of(token, found, text)):
            token = Token("operator", token.text, token.start, token.end)
        found.append(token)
    return _mark_units(found)


def _is_times(word: Token, before: list[Token], text: str) -> bool:
    """`x` between a number (its unit aside) and what may begin another."""
    if word.text not in ("x", "X") or not re.match(r"\s*[-(\d.$]", text[word.end :]):
        return False
    if before and before[-1].end == word.start and text[word.end :].lstrip()[0] in "-(":
        return False  # 3x-5: a variable
    kinds = [token.kind for token in before[-4:]]
    while kinds and kinds[-1] == "word":
        kinds.pop()
    return bool(kinds) and kinds[-1] in ("number", "close", "percent")


def _is_of(word: Token, before: list[Token], text: str) -> bool:
    """`of` in 20% of 50 and 3/4 of 100; but not in "= 1/3 of 60", where only the 1/3 may be meant."""
    if word.text != "of" or not re.match(r"\s*[(\d.$]", text[word.end :]):
        return False
    kinds = "".join({"number": "n", "percent": "%", "equals": "="}.get(token.kind, token.text[-1]) for token in before[-4:])
    return re.search(r"(^|[^=])(n%|n/n)$", kinds) is not None


def _mark_units(tokens: list[Token]) -> list[Token]:
    """Up to three words after a number, a closing bracket or a percent sign are its unit, unless a number follows them at once."""
    marked = list(tokens)
    place = 0
    while place < len(marked):
        if marked[place].kind not in ("number", "close", "percent"):
            place += 1
            continue
        start = place = place + 1
        while place < len(marked) and place - start < 3 and _is_unit(marked, place):
            place += 1
        if place < len(marked) and (marked[place].kind in ("number", "open", "currency") or _is_sign(marked, place)):
            continue
        if [token.text for token in marked[place : place + 2]] in (["^", "2"], ["^", "3"]) and place > start:
            place += 2  # 5 cm^3
        for at in range(start, place):
            token = marked[at]
            marked[at] = Token("unit", token.text, token.start, token.end)
    return marked


def _is_sign(tokens: list[Token], place: int) -> bool:
    """Whether a number's own minus stands at `place`: "gives -3"."""
    if tokens[place].text != "-" or place + 1 == len(tokens):
        return False
    return tokens[place - 1].end < tokens[place].start and tokens[place].end == tokens[place + 1].start


def _is_unit(tokens: list[Token], place: int) -> bool:
    token = tokens[place]
    if tokens[place - 1].end == token.start and token.kind == "word":  # 5km, but not 5m, 5ab or (1/3)Bh
        return tokens[place - 1].kind == "number" and len(token.text) > 1 and singular(token.text) in FACTORS
    if token.text == "/" and place + 1 < len(tokens):  # "5 miles / hour"
        token = tokens[place + 1]
    return token.kind == "word" and len(token.text) > 1 and token.text.casefold() not in NOT_UNITS


def evaluate(tokens: list[Token]) -> Value:
    """The value of an expression's tokens. Raises Unreadable."""
    if len(tokens) > MAX_TOKENS:
        raise Unreadable("too long")
    return _Parser(tokens).whole()


class _Parser:
    """Recursive descent over one expression: sum > product > signed power > atom."""

    def __init__(self, tokens: list[Token]) -> None:
        beside = [token for token in tokens if token.kind in ("unit", "currency")]
        self._units = frozenset(singular(token.text) for token in beside if token.text != "/")
        self._tokens = [token for token in tokens if token.kind not in ("unit", "currency")]
        self._place = 0
        self._digits = 0
        self._computed = self._additive = self._percent = self._loose = self._of = self._divides = False
        self._first: Fraction | None = None

    def whole(self) -> Value:
        amount, _ = self._sum()
        if self._place != len(self._tokens):
            raise Unreadable(f"{self._tokens[self._place].text!r} does not go on the expression")
        digits = self._digits + 2 if self._percent else self._digits
        loose = self._loose or (self._of and self._additive)
        return Value(
            amount=amount,
            bare=not self._computed,
            digits=digits,
            units=self._units,
            additive=self._additive,
            percent=self._percent,
            loose=loose,
            first=self._first or Fraction(0),
            divides=self._divides,
        )

    def _operator(self) -> str:
        """The operator that comes next, '' if none does."""
        if self._place == len(self._tokens) or self._tokens[self._place].kind != "operator":
            return ""
        text = self._tokens[self._place].text
        return "*" if text in ("x", "X", "of") else OPERATORS.get(text, text)

    def _kind(self) -> str:
        return self._tokens[self._place].kind if self._place < len(self._tokens) else ""

    def _sum(self) -> tuple[Fraction, bool]:
        """Value, and whether it is a bare percentage."""
        total, share = self._product()
        while (sign := self._operator()) in ("+", "-"):
            self._place += 1
            self._computed = self._additive = True
            more, more_share = self._product()
            self._loose |= share != more_share
            total = total + more if sign == "+" else total - more
        return total, share

    def _product(self) -> tuple[Fraction, bool]:
        value, share = self._signed()
        last = ""
        while (sign := self._operator()) in ("*", "/") or self._touching_bracket():
            if sign:
                self._of |= self._tokens[self._place].text == "of"
                self._place += 1
            self._computed = True
            self._loose |= sign == last == "/"
            self._divides |= sign == "/"
            last = sign
            more, _ = self._signed()
            share = False
            if sign == "/":
                if more == 0:
                    raise Unreadable("a division by zero")
                value /= more
            else:
                value *= more
        return value, share

    def _touching_bracket(self) -> bool:
        """3(4 + 5): a bracket that touches what is before it; 3 (4 + 5) may be an aside."""
        if self._kind() != "open" or self._place == 0:
            return False
        return self._tokens[self._place - 1].end == self._tokens[self._place].start

    def _signed(self) -> tuple[Fraction, bool]:
        if self._operator() == "-":
            self._place += 1
            value, share = self._signed()
            return -value, share
        base, share = self._atom()
        if self._operator() != "^":
            return base, share
        self._place += 1
        self._computed = True
        exponent, _ = self._signed()
        return _power(base, exponent), False

    def _atom(self) -> tuple[Fraction, bool]:
        kind = self._kind()
        if kind == "open":
            self._place += 1
            value, share = self._sum()
            if self._kind() != "close":
                raise Unreadable("a bracket is not closed")
            self._place += 1
        elif kind == "number":
            value, share = self._number(), False
        else:
            raise Unreadable("a number is missing")
        if self._kind() == "percent":
            self._place += 1
            self._percent = True
            value, share = value / 100, True
        return value, share

    def _number(self) -> Fraction:
        """A literal, or a mixed number (2 1/2)."""
        value = self._literal()
        rest = self._tokens[self._place : self._place + 3]
        if [token.kind for token in rest] == ["number", "operator", "number"] and rest[1].text in "/⁄∕":
            above, below = self._fraction_part(rest)
            if value.denominator == 1 and 0 < above < below:
                self._place += 3
                self._computed = True
                return value + Fraction(above, below)
        return value

    def _fraction_part(self, rest: list[Token]) -> tuple[int, int]:
        if not (rest[0].text.isdigit() and rest[2].text.isdigit()):
            raise Unreadable("two numbers side by side")
        return int(rest[0].text), int(rest[2].text)

    def _literal(self) -> Fraction:
        text = self._tokens[self._place].text.replace(",", "")
        self._place += 1
        if len(text) > MAX_DIGITS:
            raise Unreadable("a number too long to be meant")
        if re.match(r"0\d", text):
            raise Unreadable("a number with a leading zero: a time, a code, a slip of the pen")
        self._digits = len(text.partition(".")[2])
        value = Fraction(text)
        self._first = value if self._first is None else self._first
        return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > MAX_EXPONENT or max(abs(base.numerator), base.denominator) > 10**MAX_DIGITS:
        raise Unreadable("a power that is not computed here")
    if base == 0 and exponent < 0:
        raise Unreadable("a division by zero")
    return Fraction(base ** int(exponent))
