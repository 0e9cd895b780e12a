"""Words that matter beside a number: units that convert into others, and words that change what a number or an expression means."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NOT_UNITS = _words("""
    a an the and or of to in on at by for from with as so if is are was were be has have had that then than which we he she it they
    more less squared cubed half twice double triple mod modulo choose remainder but because since when not
""")
"""Words after a number that are not its unit."""

OPERATE = _words("""
    twice double triple half third quarter fourth fifth tenth thirds quarters fourths fifths tenths sqrt root square cube squared
    cubed log ln exp sin cos tan gcd lcm max min mod modulo choose factorial average mean remainder frac per
""")
"""Words before an expression that do something to its numbers."""

QUALIFY = _words("of remainder squared cubed mod modulo with hundred thousand million billion dozen")
"""Words after a result that change what it says."""

_TABLE = """
    second 60 3600, minute 60 1440, hour 60 24 168 3600, day 7 24 30 31 365 1440, week 4 7 52 168, month 4 12 30 31, year 12 52 365,
    decade 10, century 100, centurie 100,
    cent 100, penny 100, pennie 100, nickel 5 20, dime 10, quarter 4 25, dollar 4 10 20 100,
    pair 2, dozen 12, hundred 100, thousand 1000, million 1000 1000000, billion 1000 1000000000,
    mm 10 1000, cm 10 100, m 100 1000, km 1000, millimeter 10 1000, centimeter 10 100, meter 100 1000, kilometer 1000,
    g 1000, kg 1000, gram 1000, kilogram 1000, ton 1000 2000, ml 1000, milliliter 1000, liter 1000,
    inch 12 36, inche 12 36, foot 3 12, feet 3 12, yard 3 36, mile 1760 5280,
    oz 8 16 128, ounce 8 16 128, lb 16 2000, pound 16 2000, cup 2 4 8 16, pint 2 8, quart 2 4, gallon 4 8 16 128
"""
FACTORS = {unit: frozenset(map(int, factors)) for unit, *factors in (entry.split() for entry in _TABLE.split(","))}
"""Unit (`singular`) -> how many of it make another unit, or of another make it: 2 * 1 hour = 120 minutes is no slip."""

_SAME = {"$": "dollar", "€": "euro", "£": "pound", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute"}


def singular(unit: str) -> str:
    """`apples` and `apple` are one unit; so are `$` and `dollars`."""
    unit = unit.casefold()
    unit = unit[:-1] if len(unit) > 3 and unit.endswith("s") and not unit.endswith("ss") else unit
    return _SAME.get(unit, unit)
