r"""One form for answers that mean the same: 0.5 = 1/2 = \frac12, 72 = $72.00 = "72 apples", (1, 2) = ( 1,2 ).

Rational numbers are exact. What is not understood is left as it is, LaTeX spelling and white space apart: equal forms are equal
answers, but different forms need not be different ones (`verify` asks a computer algebra system then).
"""

import re
from fractions import Fraction

from shared.answers.expressions import Unreadable, evaluate, tokens_of
from shared.answers.measures import NUMERALS, is_note, scale, without_plain_unit, without_unit

MAX_DIGITS = 400
"""Longer numbers stay text: no answer needs them, and powers of ten are cheap to write and dear to compute."""

MAX_LENGTH = 1000
"""Longer answers are only freed of needless white space."""
MAX_PASSES = 50

_DECIMAL = r"(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(
    rf"""(?P<sign>[-+]?)\s*[$€£]?\s*(?P<sign2>[-+]?)\s*
        (?: (?P<whole>\d+)?\s*\\frac\{{\s*(?P<num>-?\d+)\s*\}}\{{\s*(?P<den>-?\d+)\s*\}}
          | (?:(?P<mixed>\d+)\s+)?(?P<a>{_DECIMAL})\s*/\s*(?P<b>{_DECIMAL})
          | (?P<mantissa>{_DECIMAL})\s*(?:\\times|\\cdot|×|\*)\s*10\s*\^\s*(?:\{{\s*(?P<power>[-+]?\d+)\s*\}}|(?P<power2>\d))
          | (?P<plain>{_DECIMAL})(?:[eE](?P<exponent>[-+]?\d+))?
        )(?P<rest>.*)""",
    re.VERBOSE | re.DOTALL,
)
_CHOICE = re.compile(r"\(\s*([A-Z])\s*\)|([A-Z])[.):]?")
_ASSIGNED = re.compile(r"(?P<letter>[A-Za-z])\s*=(?P<value>[^=]+)")
_VARIABLE = re.compile(r"(?<![A-Za-z\\])[A-Za-z]")
_NOTED = re.compile(r"(?P<said>.*\S) \((?P<note>[^()]+)\)")
_SUM = re.compile(r"[\d\s.,$]+(?:[-+*/×][\d\s.,$]+)+")
_BASED = re.compile(
    r"(?P<digits>-?\d[0-9A-Za-z]*|\(-?\d[0-9A-Za-z]*\)) ?(?:_ ?[{(]{0,2} ?(?:base ?)?|\(? ?base )(?P<base>\d+|[a-z]+) ?[)}]{0,2}"
)
"""A numeral with its base, as 40_9: `(40)_9`, `40_{nine}`, `40 (base 9)`."""
_WORDS = re.compile(r"[^\W\d_]{2,}(?:[ '-]+[^\W\d_]+)*")
_SPELLINGS = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"^([-+$]?\d{1,3}) (\d{3})((?: \d{3})*)(?= ?[%€£]?$)", r"\1,\2\3"),  # 1 000 is 1,000
        (r"(?<=\d) ?pct\b", "%"),
        (r"^US ?(?=\\?\$ ?\d)", ""),
        (r"^(?:\\approx(?![A-Za-z])|≈) ?(?=[-\d.\\$])", ""),
        (r"(?<![⁰¹²³⁴⁵⁶⁷⁸⁹]) ?√ ?(\d+(?:,\d{3})*(?:\.\d+)?|[A-Za-z](?![A-Za-z]))", r"\\sqrt{\1}"),
        (r"(?<![⁰¹²³⁴⁵⁶⁷⁸⁹]) ?√ ?\(([^()]+)\)", r"\\sqrt{\1}"),
        (r"(?<=\d)(?:\\[,!;]|\{,\}|,\\!)(?=\d{3}(?!\d))", ","),  # 10\,080, 10{,}080 and 10,\!080 are 10,080
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:left|right|displaystyle|[bB]igg?[lr]?)(?![A-Za-z])", ""),
        (r"(?<!\\)\\(?:[!,;:]| |q?quad(?![A-Za-z]))|~|\s", " "),
        (r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}", r" \1 "),
        (r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree(?![A-Za-z])|°)\s*(?:[CF](?![A-Za-z]))?", ""),
        (r"[−–]", "-"),
        (r"\\([$%#&])", r"\1"),
        (r"\\(frac|sqrt)\s+", r"\\\1 "),
        (r"\\frac ?(\d)", r"\\frac{\1}"),
        (r"(\\frac\{[^{}]*\}) ?(\d)", r"\1{\2}"),
        (r"\\sqrt ?(\d)", r"\\sqrt{\1}"),
        (r"([\^_]) ?\{ ?(\w) ?\}", r"\1\2"),
        (r" +", " "),
    )
)


def canonical(answer: str) -> str:
    r"""The form of `answer` that equal answers share; canonical(canonical(x)) == canonical(x).

    A rational number becomes `p` or `p/q` in lowest terms, without currency, thousands commas, percent sign (`50\%` is 50, as the
    publishers grade it), degrees and units; `(B)` becomes `B`; lists, tuples and intervals become their canonical parts; words are
    casefolded; all else is LaTeX in one spelling without needless spaces.
    """
    if len(answer) > MAX_LENGTH:
        return " ".join(answer.split())
    text = answer
    for _ in range(MAX_PASSES):  # one pass may lay bare what the next one reads: `B~:` is `B:` is `B`
        form = _based(text) or _form(text)
        if form == text:
            break
        text = form
    return text


def _based(answer: str) -> str | None:
    """A numeral with its base as `40_9`; None if it is none."""
    based = _BASED.fullmatch(_respell(answer))
    base = NUMERALS.get(based["base"], based["base"]) if based else ""
    if based is None or not str(base).isdigit():
        return None
    return f"{based['digits'].strip('()')}_{base if len(str(base)) == 1 else f'{{{base}}}'}"


def _form(answer: str) -> str:
    """One pass of `canonical`."""
    text = _respell(answer)
    if choice := _CHOICE.fullmatch(text):
        return choice[1] or choice[2]
    number = _noted(text) if text.endswith(")") else number_in(text)
    if number is not None:
        return str(number)
    if (assigned := _ASSIGNED.fullmatch(text)) and (number := number_in(assigned["value"].strip())) is not None:
        return str(number)
    parts = _split(text)
    if parts is not None:
        opening, inner, closing = parts
        if len(inner) == 1 and (opening, closing) == ("(", ")") and (number := number_in(inner[0])) is not None:
            return str(number)
        if len(inner) > 1 and all(inner):
            return opening + ",".join(_parts(inner)) + closing
    if _WORDS.fullmatch(text):
        return text.casefold()
    return _squeeze(text)


def _parts(parts: list[str]) -> list[str]:
    """Canonical parts of a list.

    `x = 1, x = 2` (and `x = 1, 2`) are values of x. Values of several letters stand in the order of the letters, as they would in
    a tuple: `y = 3, x = 4` is `4,3`. Any other list keeps its letters.
    """
    found = [_ASSIGNED.fullmatch(part) for part in parts]
    named = [match if match and not _VARIABLE.search(match["value"]) else None for match in found]
    values = {match["letter"]: match["value"] for match in named if match}
    if len(values) == len(parts):  # (x, y, z, w) is the custom
        return [_form(values[letter]) for letter in sorted(values, key=lambda letter: (letter == "w" and "x" in values, letter))]
    if len(values) == 1 and (all(named) or not any("=" in part for part in parts[1:])):
        return [_form(match["value"]) if match else _form(part) for match, part in zip(named, parts, strict=True)]
    return [
        f"{match['letter']}={_form(match['value'])}" if match else _form(part) for match, part in zip(named, parts, strict=True)
    ]


def _noted(text: str) -> Fraction | None:
    """The number in `5 (five)`, `12 (cm)` and `72 (48 + 24)`: a note that says the same; None where it says anything else."""
    noted = _NOTED.fullmatch(text) if len(text) <= MAX_DIGITS else None
    number = number_in(noted["said"]) if noted else None
    if noted is None or number is None:
        return None
    if not _SUM.fullmatch(noted["note"]):
        return number if is_note(noted["note"], number) else None
    try:
        return number if evaluate(tokens_of(noted["note"])).amount == number else None
    except Unreadable:
        return None


def number_in(text: str) -> Fraction | None:
    """The rational number that `text` states, whatever its unit; None if it states none, or more than one."""
    match = _NUMBER.fullmatch(text.strip().rstrip(".")) if len(text) <= MAX_DIGITS else None
    if match is None or (match["sign"] and match["sign2"]):
        return None
    factor = scale(match["rest"])
    value = _magnitude(match)
    if factor is None or value is None:
        return None
    return -value * factor if "-" in (match["sign"], match["sign2"]) else value * factor


def is_number(form: str) -> bool:
    """Whether a canonical form is a plain rational number."""
    return re.fullmatch(r"-?\d+(?:/\d+)?", form) is not None


def is_words(form: str) -> bool:
    """Whether a canonical form is words or a choice letter, which nothing but itself equals."""
    return _WORDS.fullmatch(form) is not None or _CHOICE.fullmatch(form) is not None


def _respell(answer: str) -> str:
    text = without_unit(answer.strip())
    for pattern, new in _SPELLINGS:
        text = pattern.sub(new, text)
    text = text.strip().rstrip(".").strip()
    while len(text) > 1 and text[0] == text[-1] == "$":
        text = text[1:-1].strip()
    return without_plain_unit(text)


def _magnitude(match: re.Match[str]) -> Fraction | None:
    """The number without its sign and scale; None if it is none (a zero denominator) or too large."""
    if match["num"] is not None:
        return _ratio(match["num"], match["den"], match["whole"])
    if match["a"] is not None:
        return _ratio(match["a"], match["b"], match["mixed"])
    power = match["power"] or match["power2"] or match["exponent"] or "0"
    if abs(int(power)) > MAX_DIGITS:
        return None
    return _decimal(match["mantissa"] or match["plain"]) * Fraction(10) ** int(power)


def _ratio(above: str, below: str, whole: str | None) -> Fraction | None:
    numerator, denominator = _decimal(above), _decimal(below)
    if denominator == 0 or (whole and (numerator < 0 or denominator < 0)):
        return None
    return numerator / denominator + int(whole or 0)


def _decimal(digits: str) -> Fraction:
    digits = digits.replace(",", "")
    return Fraction(f"0{digits}" if digits.startswith(".") else digits.rstrip(".") or "0")


def _split(text: str) -> tuple[str, list[str], str] | None:
    """(opening bracket, parts at top-level commas, closing bracket) of a list, tuple or interval; None if brackets don't match."""
    inner, opening, closing = text, "", ""
    if text[:1] in ("(", "[") and text[-1:] in (")", "]") and _spans_all(text):
        inner, opening, closing = text[1:-1], text[0], text[-1]
    parts, depth, start = [], 0, 0
    for place, char in enumerate(inner):
        depth += (char in "([{") - (char in ")]}")
        if depth < 0:
            return None
        if char == "," and depth == 0:
            parts.append(inner[start:place].strip())
            start = place + 1
    return (opening, [*parts, inner[start:].strip()], closing) if depth == 0 else None


def _spans_all(text: str) -> bool:
    """Whether the first bracket closes with the last character, and no sooner."""
    depth = 0
    for place, char in enumerate(text):
        depth += (char in "([") - (char in ")]")
        if depth == 0:
            return place == len(text) - 1
    return False


def _squeeze(text: str) -> str:
    r"""Without white space, but for what parts a command from a letter (`\pi r`), words, and digits (`1 4` is not 14)."""
    text = re.sub(r"(?<!\d) (?=[^A-Za-z])|(?<=\d) (?=[^A-Za-z\d])|(?<=[^A-Za-z]) (?!\d)|(?<=[^A-Za-z\d]) (?=\d)", "", text)
    return re.sub(r"(?<!\S)\+(?=\d)", "", text)
