"""What is wrong with a recipe, in words: `stages.search.width: must be at least 2 (got 1)`."""

import difflib
import re
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.contracts import recipe

Place = tuple[str | int, ...]

_KINDS = get_args(get_args(recipe.Stage)[0])
_WORDS = {
    "missing": "is missing",
    "finite_number": "must be a finite number",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "union_tag_not_found": "`kind` is missing",
}
_TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "text", "tuple": "a list"}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and where: keys and list indices from the recipe's root."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.place))}: {self.message}" if self.place else self.message


def faults(error: ValidationError) -> list[Fault]:
    """The faults that pydantic found in a recipe, in its order."""
    return [_fault(detail) for detail in error.errors()]


def _fault(detail: ErrorDetails) -> Fault:
    place: Place = detail["loc"]
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if place[:1] == ("stages",) and len(place) > 2 and place[2] != "[key]":
        place = place[:2] + place[3:]  # pydantic names the kind of stage there
    if place[-1:] == ("[key]",):
        return Fault(place[:-1], "a name has lower-case letters, digits, `-` and `_`, at most 63 of them")
    if kind == "extra_forbidden":
        return Fault(place, f"unknown key{_did_you_mean(str(place[-1]))}")
    if kind == "value_error":
        return _from_validator(place, str(context["error"]))
    if kind == "union_tag_invalid":
        return Fault(
            (*place, "kind"), f"there is no kind `{context['tag']}` (known: {context['expected_tags'].replace(chr(39), '')})"
        )
    if kind == "literal_error":
        return Fault(place, f"must be {context['expected']} {_got(given)}")
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return Fault(place, f"must be {words} {context[bound]:g} {_got(given)}")
    if kind in _WORDS:
        return Fault(place, _WORDS[kind])
    if (wanted := _TYPES.get(kind.partition("_")[0])) and kind.partition("_")[2] in ("type", "parsing", "from_float"):
        return Fault(place, f"must be {wanted} {_got(given)}")
    return Fault(place, f"{detail['msg'][:1].lower()}{detail['msg'][1:]} {_got(given)}")


def _from_validator(place: Place, message: str) -> Fault:
    """A contract's own words; those about a reference begin with its place (`stages.search.policy: nothing is named ...`)."""
    named = re.match(r"((?:stages|models|problems)[\w.-]*): (.*)", message, re.DOTALL)
    return Fault(tuple(named[1].split(".")), named[2]) if named and not place else Fault(place, message)


def _got(given: Any) -> str:
    text = repr(given)
    return f"(got {text if len(text) <= 60 else text[:57] + '...'})"


def _did_you_mean(key: str) -> str:
    models = (recipe.Recipe, recipe.ModelSpec, recipe.ProblemSource, recipe.Sampling, recipe.Reward, recipe.Refiner, *_KINDS)
    known = {name for model in models for name in model.model_fields}
    close = difflib.get_close_matches(key, known, 1)
    return f" (did you mean `{close[0]}`?)" if close else ""
