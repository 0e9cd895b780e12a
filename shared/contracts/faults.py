"""What is wrong with a recipe, with its place: `stages.search.width`, `must be at least 2 (got 1)`."""

import difflib
import json
import reprlib
import typing
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.contracts.recipe import Recipe
from shared.contracts.stages import Stage

KINDS: dict[str, type[BaseModel]] = {
    model.model_fields["kind"].default: model
    for model in typing.get_args(typing.get_args(Stage)[0])
    if issubclass(model, BaseModel)
}
"""Kind of stage -> its class."""


def faults(error: ValidationError) -> list[tuple[str, str]]:
    """The mistakes that pydantic found in a recipe as (place, message), each once, in order."""
    return list(dict.fromkeys(_explain(details) for details in error.errors(include_url=False)))


def checked(data: Any) -> tuple[Recipe | None, list[tuple[str, str]]]:
    """A recipe and no mistakes, or no recipe and its mistakes as (place, message)."""
    if not isinstance(data, dict):
        return None, [("", f"a recipe is a mapping with `name` and `stages`, not {shown(data)}")]
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        return None, faults(error)
    if "\\u0000" in recipe.model_dump_json().replace("\\\\", ""):  # PostgreSQL takes none in text
        return None, [("", "the recipe holds a NUL character")]
    return recipe, []


def _explain(details: ErrorDetails) -> tuple[str, str]:
    """pydantic's error as (place, message). The discriminator's value, which pydantic puts into the place, is taken out."""
    place = [str(part) for part in details["loc"]]
    kind = None
    if len(place) >= 3 and place[0] == "stages" and place[2] in KINDS:
        kind = place.pop(2)
    key_is_wrong = bool(place) and place[-1] == "[key]"
    if key_is_wrong:
        place.pop()
    wrong, context, got = details["type"], details.get("ctx", {}), details["input"]
    if wrong == "value_error":  # one of our own validators, which may say the place itself
        said = str(context["error"])
        head, _, rest = said.partition(": ")
        inner = rest and " " not in head
        return ".".join([*place, head] if inner else place), rest if inner else said
    if wrong in ("union_tag_not_found", "union_tag_invalid"):
        place.append("kind")
        known = ", ".join(KINDS)
        return ".".join(place), f"is missing (one of {known})" if wrong == "union_tag_not_found" else (
            f"there is no kind `{context['tag']}` (known: {known})"
        )
    if key_is_wrong:
        return ".".join(
            place
        ), "a name is made of lower-case letters, digits, `-` and `_`, starts with a letter or digit, at most 63"
    if wrong == "missing":
        return ".".join(place), "is missing"
    if wrong == "extra_forbidden":
        return ".".join(place), _unknown_key(place, kind)
    return ".".join(place), f"{_rule(wrong, context, details['msg'])} (got {shown(got)})"


def _rule(wrong: str, context: dict[str, Any], message: str) -> str:
    bounds = {"greater_than_equal": "at least", "greater_than": "above", "less_than_equal": "at most", "less_than": "below"}
    if wrong in bounds:
        [limit] = context.values()
        return f"must be {bounds[wrong]} {limit:g}"
    if wrong.startswith("int_"):
        return "must be a whole number"
    if wrong.startswith(("float_", "finite_")):
        return "must be a number"
    if wrong.startswith("bool_"):
        return "must be true or false"
    if wrong == "string_type":
        return "must be text"
    if wrong in ("tuple_type", "list_type"):
        return "must be a list"
    if wrong in ("dict_type", "model_type", "model_attributes_type"):
        return "must be a mapping"
    if wrong == "literal_error":
        return f"must be {context['expected']}"
    if wrong in ("too_short", "string_too_short"):
        return "must not be empty" if context["min_length"] == 1 else f"must have at least {context['min_length']} parts"
    if wrong == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    return message[0].lower() + message[1:]


def _unknown_key(place: list[str], kind: str | None) -> str:
    """Which keys there are instead, the likeliest first."""
    known = sorted(_fields_at(place[:-1], kind))
    close = difflib.get_close_matches(place[-1], known, n=1)
    guess = f"did you mean `{close[0]}`? " if close else ""
    return f"unknown key ({guess}known: {', '.join(known)})" if known else "unknown key"


def _fields_at(place: list[str], kind: str | None) -> set[str]:
    """The keys of the model at a place of the recipe."""
    model: Any = Recipe
    for depth, part in enumerate(place):
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[part].annotation if part in model.model_fields else None
        elif typing.get_origin(model) is dict:
            model = KINDS[kind] if depth == 1 and kind else typing.get_args(model)[1]
        else:
            return set()
    return set(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else set()


def shown(value: Any) -> str:
    """A value in short. Containers through reprlib: a few lines of YAML can stand for billions of elements."""
    text = json.dumps(value) if isinstance(value, str | int | float) or value is None else reprlib.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
