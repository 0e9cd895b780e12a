"""Equalities that a line of text states, each checked exactly: `27 - 21 = 4` is wrong, for 27 - 21 is 6.

What can't be read for sure is skipped, and a doubtful failure (other units on the two sides, "100 + 20%") is not called one:
a right step that is called wrong does more harm than a slip that is overlooked.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from shared.answers.expressions import MAX_DIGITS, Token, Unreadable, Value, evaluate, tokens_of
from shared.answers.spelling import respelled
from shared.answers.units import FACTORS, OPERATE, QUALIFY

MAX_LENGTH = 4000
"""Longer lines are no steps; they are not read."""
_CALCULATOR = re.compile(r"<<([^<>]*)>>")
_WHOLE = re.compile(r"remain|left ?over|whole|full|^\W*and\s*\(", re.IGNORECASE)
"""In what follows a quotient: only its whole part is meant."""
_NUMBERED = re.compile(r"^\s*(?:[-*•>]\s+)?(?:\**\s*step\s+\d+\s*\**\s*[:.)-]*\**|\d+[.)](?=\s))\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Equality:
    """Two sides that a text sets equal."""

    left: str
    right: str
    holds: bool
    words: str
    """`5 * 6 = 30`, or what is wrong: `27 - 21 = 6, not 4`."""
    result: Fraction
    """What the right side comes to."""


@dataclass(frozen=True)
class _Side:
    text: str
    value: Value


def equalities(text: str) -> list[Equality]:
    """Every equality that `text` (one step) states and that can be judged, in order, each once."""
    text = text[:MAX_LENGTH]
    parts = [_NUMBERED.sub("", _CALCULATOR.sub(" ", text)), *_CALCULATOR.findall(text)]
    found: dict[tuple[str, str], Equality] = {}
    for part in parts:
        for one in _in_part(respelled(part)):
            found.setdefault((re.sub(r"\s", "", one.left), re.sub(r"\s", "", one.right)), one)
    return list(found.values())


def numbers(text: str) -> set[Fraction]:
    """Absolute values of all numbers written in `text`."""
    tokens = tokens_of(respelled(_NUMBERED.sub("", text[:MAX_LENGTH])))
    literals = [token.text.replace(",", "") for token in tokens if token.kind == "number"]
    return {Fraction(literal) for literal in literals if len(literal) <= MAX_DIGITS}


def _in_part(text: str) -> list[Equality]:
    tokens = tokens_of(text)
    found = []
    for place, token in enumerate(tokens):
        if token.kind != "equals":
            continue
        try:
            left, right = _left(text, tokens, place), _right(text, tokens, place)
        except Unreadable:
            continue
        judged = _compare(left, right, approximate=token.text[0] in "≈≃≅", dots=_follows(tokens, place, "dots"))
        if judged is False and left.value.divides and _WHOLE.search(text[token.end :].lstrip(" 0123456789,")):
            judged = None
        if judged is not None:
            words = f"{left.text} = {right.text}" if judged else _what_is_wrong(left, right)
            found.append(Equality(left.text, right.text, judged, words, right.value.amount))
    return found


def _follows(tokens: list[Token], place: int, kind: str) -> bool:
    """Whether the expression after `place` is followed by a token of `kind`."""
    end = place + 1
    while end < len(tokens) and tokens[end].in_expression:
        end += 1
    return end < len(tokens) and tokens[end].kind == kind


def _left(text: str, tokens: list[Token], place: int) -> _Side:
    """The expression that ends at the equals sign at `place`. Raises Unreadable if there is none, or if more belongs to it."""
    start = place
    depth = 0
    while start > 0 and tokens[start - 1].in_expression:
        before = tokens[start - 1]
        depth += {"close": 1, "open": -1}.get(before.kind, 0)
        if depth < 0:  # a bracket that holds the whole equality
            if start > 1 and tokens[start - 2].kind == "operator":
                raise Unreadable("an expression whose bracket is not closed")
            return _side(text, tokens[start:place])
        start -= 1
    run = tokens[start:place]
    if run and run[0].kind == "close":  # "(a) 3 + 4 = 7"
        run = run[1:]
        if run and run[0].kind == "operator":
            raise Unreadable("a bracket whose content is not understood")
        return _side(text, run)
    if not run:
        raise Unreadable("nothing before the equals sign")
    preceding = tokens[start - 1] if start else None
    if preceding is not None and preceding.kind in ("bad", "name", "dots"):
        raise Unreadable("a sign before the expression that is not understood")
    if preceding is not None and preceding.kind == "stop" and start > 1:
        earlier = tokens[start - 2]
        touching = earlier.kind == "number" and earlier.end == preceding.start and preceding.end == run[0].start
        if earlier.kind == "operator" or touching:
            raise Unreadable("a number that is broken in two")
    side = _side(text, run)
    if preceding is not None and preceding.kind == "word":
        spaced_minus = run[0].text in "-−–" and (run[0].start == preceding.end or run[0].end != run[1].start)
        part = preceding.text == "and" and re.fullmatch(r"\d+/\d+", side.text)  # "1 and 1/4"
        if preceding.end == run[0].start or spaced_minus or part or _operates(tokens, start - 1) or side.value.bare:
            raise Unreadable("the words before belong to it")
    if side.value.bare and (side.value.units or (preceding is not None and preceding.text == ",")):
        raise Unreadable("a number in a sentence, set equal to something else")
    return side


def _operates(tokens: list[Token], place: int) -> bool:
    """Whether the word at `place`, or the one before its "of" or "the", works on the numbers that follow."""
    words = [token.text.casefold() for token in tokens[max(0, place - 2) : place + 1] if token.kind in ("word", "unit")]
    while words and words[-1] in ("of", "the"):
        words.pop()
    return bool(words) and words[-1] in OPERATE


def _right(text: str, tokens: list[Token], place: int) -> _Side:
    """The expression that begins after the equals sign at `place`. Raises Unreadable as `_left` does."""
    end = place + 1
    depth = 0
    while end < len(tokens) and tokens[end].in_expression:
        depth += {"open": 1, "close": -1}.get(tokens[end].kind, 0)
        if depth < 0:
            return _side(text, tokens[place + 1 : end])
        end += 1
    run = tokens[place + 1 : end]
    after = tokens[end] if end < len(tokens) else None
    if run and run[-1].kind == "open":  # "= 6 (six)"
        return _side(text, run[:-1])
    if len(run) > 1 and run[-1].text in "-–" and after is not None and after.kind == "word" and len(after.text) > 1:
        spaced = run[-2].end < run[-1].start and run[-1].end < after.start
        run = run[:-1] if spaced else run  # "= 6 - that leaves 3": a dash
    if not run:
        raise Unreadable("nothing after the equals sign")
    if after is not None and (
        after.kind == "bad" or (after.kind == "word" and (after.start == run[-1].end or _changes(after.text)))
    ):
        raise Unreadable("what follows belongs to it")
    return _side(text, run)


def _changes(word: str) -> bool:
    return (len(word) == 1 and word not in "aAI") or word.casefold() in QUALIFY


def _side(text: str, run: list[Token]) -> _Side:
    value = evaluate(run)
    while run[-1].kind == "unit":
        run = run[:-1]
    words = re.sub(r"\s+", " ", text[run[0].start : run[-1].end])
    return _Side(re.sub(r"^\((\d+/\d+)\)$", r"\1", words), value)


def _compare(left: _Side, right: _Side, approximate: bool, dots: bool) -> bool | None:
    """Whether the two sides are equal, as far as their decimals go; None if that is in doubt."""
    a, b = left.value, right.value
    if a.bare and b.bare and (a.units or b.units):
        return None  # a conversion: 60 minutes = 1 hour
    slack = max(_slack(b, approximate, dots), _slack(a, approximate, False))
    scales = (Fraction(1), Fraction(100), Fraction(1, 100)) if a.percent or b.percent else (Fraction(1),)
    if any(abs(a.amount * scale - b.amount) <= slack for scale in scales):
        return True
    if approximate and abs(a.amount - b.amount) * 10 <= abs(a.amount):
        return None
    if not b.bare and abs(a.amount - b.first) <= _slack(a, approximate, False):
        return None  # "5 * 6 = 30 + 2 = 32": a sloppy chain, but its sums are right
    if b.bare and b.digits and 0 <= abs(a.amount) - abs(b.amount) < Fraction(1, 10**b.digits):
        return None  # 2/3 = 0.66: cut off, not rounded
    if re.fullmatch(r"\d+/\d+", left.text) and b.units and not a.units:
        return None  # "3/8 is equal to $375"
    return None if _doubtful(a, b) else False


def _slack(value: Value, approximate: bool, dots: bool) -> Fraction:
    """By how much a stated number may differ: half a unit of its last decimal. Whole numbers are exact, unless said to be about."""
    if not value.bare or not (value.digits or approximate):
        return Fraction(0)
    return (Fraction(1) if dots else Fraction(1, 2)) / Fraction(10) ** value.digits


def _doubtful(a: Value, b: Value) -> bool:
    """Whether a difference may come from units or percentages."""
    if a.loose or b.loose or any(side.additive and len(side.units) > 1 for side in (a, b)):
        return True
    if a.units == b.units or 0 in (a.amount, b.amount):
        return False
    ratio = max(a.amount / b.amount, b.amount / a.amount)
    return any(ratio in FACTORS.get(unit, ()) for unit in a.units | b.units)


def _what_is_wrong(left: _Side, right: _Side) -> str:
    if right.value.bare and left.value.bare:
        return f"{left.text} is not {right.text}"
    if right.value.bare:
        return f"{left.text} = {_in_words(left.value.amount, right)}, not {right.text}"
    if left.value.bare:
        return f"{right.text} = {_in_words(right.value.amount, left)}, not {left.text}"
    if re.fullmatch(r"\d+/\d+", right.text):
        return f"{left.text} = {_in_words(left.value.amount, right)}, not {right.text}"
    return f"{left.text} = {_in_words(left.value.amount, left)}, but {right.text} = {_in_words(right.value.amount, right)}"


def _in_words(amount: Fraction, like: _Side) -> str:
    """A number written as `like` is: as a percentage, a fraction, with its currency or commas; at most six decimals."""
    sign, mark = ("-", "") if amount < 0 else ("", "")
    amount = abs(amount)
    if like.value.bare and like.value.percent:
        amount, mark = amount * 100, "%"
    currency = like.text[0] if like.value.bare and like.text[0] in "$€£" else ""
    if "/" in like.text and amount.denominator != 1:
        return f"{sign}{amount.numerator}/{amount.denominator}"
    return f"{sign}{currency}{_decimal(amount, like.value.digits, ',' in like.text)}{mark}"


def _decimal(amount: Fraction, digits: int, commas: bool) -> str:
    places = next((n for n in range(7) if (amount * 10**n).denominator == 1), max(2, min(digits, 6)))
    scaled = int(amount * 10**places + Fraction(1, 2))
    whole, part = divmod(scaled, 10**places)
    return (f"{whole:,}" if commas else str(whole)) + (f".{part:0{places}d}" if places else "")
