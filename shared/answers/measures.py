r"""What stands behind a number or a formula and is no part of its value: units, in words or in LaTeX; or scales it: `3 million`.

What could as well be mathematics is left alone: `36m^2` and `36 m^2` may be a polynomial, `36\text{ m}^2` is none.
"""

import re
from fractions import Fraction

_LENGTHS = r"units?|inch(?:es)?|feet|foot|(?:centi|milli|kilo)?met(?:er|re)s?|miles?|yards?"
_UNIT = re.compile(r"(?P<word>[A-Za-z]+)\.?(?:[ /.'-]+[A-Za-z]+)*[ .]*(?:\^\s*\{?[23]\}?|[²³])?")
_SHORT_UNITS = frozenset(
    [
        *("cm", "mm", "km", "dm", "kg", "mg", "ml", "mL", "cc", "ft", "in", "yd", "mi", "oz", "lb", "lbs"),
        *("hr", "hrs", "min", "mins", "secs", "mph", "kmh", "kph", "USD"),
    ]
)
_SYMBOLS = _SHORT_UNITS | frozenset(
    [
        *("m", "s", "g", "h", "L", "l", "N", "J", "W", "V", "K", "Hz", "Pa", "kN", "kJ", "kW", "kWh"),
        *("sq", "cu", "yr", "yrs", "sec"),
    ]
)
"""Units where LaTeX says that they are text; elsewhere a single letter is a variable."""
_AFTER = frozenset({"€", "£", "$", "¢", "m²", "m³"})
"""What may follow a number at once and is surely no factor."""
_FRACTIONS = {
    "half": 2, "third": 3, "fourth": 4, "quarter": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10,
    "eleventh": 11, "twelfth": 12, "sixteenth": 16, "twentieth": 20, "hundredth": 100, "thousandth": 1000, "millionth": 10**6,
}  # fmt: skip
_PLURALS = {"halves" if word == "half" else f"{word}s": below for word, below in _FRACTIONS.items()}
_MAGNITUDES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_NOT_UNITS = frozenset(
    [
        *("pi", "sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "mod", "choose"),
        *("and", "or", "to", "over", "times", "plus", "minus", "base", "abc", "abcd", "if", "for", "when", "not"),
        *(word for word in _PLURALS if word != "quarters"),  # coins, too
    ]
)
_OPERATE = frozenset({"squared", "cubed", "factorial", "raised"})
"""No units right behind a number: 5 squared is 25, but 5 meters squared are 5."""
_ASSERTS = frozenset(
    [
        *("where", "with", "is", "are", "undefined", "even", "odd", "prime", "real", "integer", "positive", "negative"),
        *("less", "more", "most", "least", "only", "percent"),
    ]
)
"""Words by which a formula is said to be something, or another."""
NUMERALS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18,
    "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_OF = re.compile(r"of (?:the|a|an|his|her|its|their|all)(?P<words>(?: [A-Za-z]+){1,4})")
_DIRECTED = re.compile(r"(?P<unit>(?:[a-z]+ )?[a-z]+s) (?:for|to) (?P<words>(?:the|his|her|their) [A-Za-z ]+|[A-Z][a-z]+)")
"""What follows a unit in a sentence: 40 miles to the beach, 20 minutes for Tom."""
_COUNTED = re.compile(
    r"""(?:平方|立方)?(?:厘米|分米|毫米|千米|公里|米) | 公顷|千克|公斤|毫克|毫升|小时|分钟|美元|元钱|块钱
      | [元角分克吨斤升秒天周年月岁度步页]
      | [个只人名本支枝张件块袋箱盒瓶棵朵头匹辆次颗条位套组双间根片杯桶艘架座幅层排圈道题种]
        (?:[^\W\da-zA-Z半多余几或和与至到左右上下万亿千百十分之倍折成方幂]{1,4})?""",
    re.VERBOSE,
)
"""Chinese units, and counters with what is counted: 72元, 72个苹果; not 72万, 72倍 or 72个半."""
_GROUP = r"\\(?:text|textrm|textnormal|mathrm|mbox|rm)\s*\{(?:[^{}]|\^\s*\{\s*-?\d\s*\})*\}(?:\s*\^\s*(?:\{\s*-?\d\s*\}|-?\d))?"
_SPACE = r"(?:\s|~|\\[ ,;:!]|\\q?quad(?![A-Za-z]))"
_TEXT_UNIT = re.compile(rf"{_SPACE}*(?P<unit>{_GROUP}(?:{_SPACE}*(?:/|\\cdot)?{_SPACE}*{_GROUP})*){_SPACE}*\.?\$?\Z")
_PLAIN_UNIT = re.compile(
    r"""[ ](?P<unit>(?:cm|mm|km|ft|yd|mi)(?:\ ?\^\ ?\{?[23]\}?|[²³])? | in(?:\ ?\^\ ?\{?[23]\}?|[²³])
        | m/s(?:\ ?\^\ ?\{?2\}?|²)? | km/h | (?:(?:square|cubic)\ )?(?:LENGTHS)
       )\Z""".replace("LENGTHS", _LENGTHS),
    re.VERBOSE,
)
_POWER = re.compile(r"\s*\^\s*(?:\{\s*-?\d\s*\}|-?\d)|[²³]|\\cdot(?![A-Za-z])|\\[ ,;:!]|~")
_MAY_HAVE_UNIT = re.compile(r"(?:[\d\])}!%²³]|\\pi|(?<![A-Za-z\\])[A-Za-z])\s*\Z")
_VARIABLE = re.compile(r"(?<![A-Za-z\\])[A-Za-z]")
_KNOWN = re.compile(rf"(?:(?:square|cubic) )?(?:{_LENGTHS})")
_WORDY = re.compile(r"\\(?:text|mathrm|mbox|rm)|(?<![A-Za-z\\])[A-Za-z]{2,}")


def scale(rest: str) -> Fraction | None:
    """What follows a number, as a factor: 1 for nothing, a percent sign or a unit, 1000 for "thousand"; None for aught else."""
    attached = not rest.startswith(" ")
    rest = rest.strip().removeprefix("%").strip()
    if not rest or rest in _AFTER or _COUNTED.fullmatch(rest):
        return Fraction(1)
    if (of := _OF.fullmatch(rest)) and not attached:
        return Fraction(1) if _are_plain(of["words"]) else None
    if (directed := _DIRECTED.fullmatch(rest)) and _are_plain(directed["words"]):
        rest = directed["unit"]
    unit = _UNIT.fullmatch(rest)
    if unit is None:
        return None
    word = unit["word"]
    if attached and word not in _SHORT_UNITS:
        return None  # 6abc is a product
    if factor := _factor(word.lower(), rest[len(word) :]):
        further = scale(rest[len(word) :])
        return None if further is None else factor * further
    words = re.findall(r"[A-Za-z]+", rest.lower())
    if not _NOT_UNITS.isdisjoint(words) or word.lower() in _OPERATE:
        return None
    is_unit = word in _SHORT_UNITS or (len(word) >= 3 and re.search("[aeiou]", word.lower()))
    return Fraction(1) if is_unit else None


def _factor(word: str, behind: str) -> Fraction | None:
    """Of `thousand`, `thousands`, `tenths`, `tenth of ...`; None for other words, as in `5 third graders` and `5 quarters`."""
    if word in _MAGNITUDES or word.removesuffix("s") in _MAGNITUDES:
        return Fraction(_MAGNITUDES[word.removesuffix("s")])
    below = _PLURALS.get(word) or _FRACTIONS.get(word)
    if below and (behind.startswith(" of ") or (not behind and word not in ("quarter", "quarters"))):
        return Fraction(1, below)
    return None


def _are_plain(words: str) -> bool:
    """Whether words change no number."""
    changing = (_NOT_UNITS, _MAGNITUDES, _FRACTIONS, _PLURALS, NUMERALS)
    return not any(word in kind or word.removesuffix("s") in kind for word in words.lower().split() for kind in changing)


def is_note(words: str, number: Fraction) -> bool:
    """Whether words in brackets behind a number leave it as it is: the same number, or a unit."""
    numerals = [NUMERALS.get(word) for word in re.split(r"[ -]+", words.lower())]
    if any(value is not None for value in numerals):  # five, twenty-one
        return None not in numerals and len(numerals) <= 2 and sum(value or 0 for value in numerals) == number
    return scale(f" {words}") == 1 and _are_plain(words)


def without_unit(answer: str) -> str:
    r"""`answer` without the unit that LaTeX sets as text at its end, whatever number or formula it follows: `288\pi\text{ in}^3`.

    Words that are no unit, as in `n^2 \text{ even}`, stay, and so does a unit behind another: `3 \text{ h } 20 \text{ min}`.
    """
    match = _TEXT_UNIT.search(answer)
    if match is None or not _may_have_unit(before := answer[: match.start()]):
        return answer
    words = " ".join(re.sub(r"\\[a-z]+\s*\{|[{}]", " ", _POWER.sub(" ", match["unit"])).split())
    known = _KNOWN.fullmatch(words) or all(part in _SYMBOLS for part in re.split(r"[ /.]+", words.rstrip(".")))
    of_number = scale(f" {words}") == 1 and _VARIABLE.search(before) is None and _ASSERTS.isdisjoint(words.lower().split())
    return before if known or of_number else answer


def without_plain_unit(text: str) -> str:
    r"""`text`, respelled, without a common unit of length, area, volume or speed behind a formula: `16\sqrt{3} cm^2`."""
    match = _PLAIN_UNIT.search(text)
    return text[: match.start()] if match and _may_have_unit(text[: match.start()]) else text


def _may_have_unit(before: str) -> bool:
    return re.search(r"[\d\\]", before) is not None and _MAY_HAVE_UNIT.search(before) is not None and _WORDY.search(before) is None
