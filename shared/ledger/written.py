"""How values become text in the ledger: the same on both databases, and fit to be sent on as UTF-8.

| a value holds | in JSON | in an error's text |
|---|---|---|
| NaN or an infinity | NotJson: JSON has no such number, and PostgreSQL would refuse it where SQLite does not | |
| half of a surrogate pair | U+FFFD: no answer of the gateway could carry it | U+FFFD |
| NUL | kept (escaped) | U+FFFD: PostgreSQL takes none in text |
"""

import json
import math
from collections.abc import Iterator
from typing import Any

NUL = "\0"


class NotJson(ValueError):
    """A number that JSON does not have: names its place. Nothing was written."""


def as_json(value: Any) -> str:
    """A value as JSON in ASCII. Raises NotJson; TypeError for what JSON has no form for at all."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        found = next(_not_finite(value, ""), None)
        if found is None:
            raise  # a circular value, say
        raise NotJson(f"{found}: JSON has no such number; leave it out, or say None") from None
    if "\\ud" not in text:  # no surrogate, in a pair or alone (or a backslash and `ud` as they were: seen to below)
        return text
    plain = json.dumps(value, ensure_ascii=False)
    return text if _sound(plain) else json.dumps(json.loads(_mended(plain)))


def as_text(value: str) -> str:
    """A text that both databases and UTF-8 take."""
    return (value if _sound(value) else _mended(value)).replace(NUL, "\N{REPLACEMENT CHARACTER}")


def _sound(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mended(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _not_finite(value: Any, place: str) -> Iterator[str]:
    """Places of numbers that are none, as `a.b[0] is nan`."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{place or 'the value'} is {value}"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _not_finite(inner, f"{place}.{key}" if place else str(key))
            if isinstance(key, float) and not math.isfinite(key):
                yield f"a key of {place or 'the value'} is {key}"
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _not_finite(inner, f"{place}[{number}]")
