"""A request's body into a Recipe; every mistake is named with its place, as `stages.search.width: must be at least 2 (got 1)`."""

import json
from typing import Any

import yaml

from services.gateway.errors import InvalidRecipe
from shared.contracts.faults import checked
from shared.contracts.recipe import Recipe


class _OneOfEachKey(yaml.SafeLoader):
    """YAML, in which a key that stands twice is a mistake, not a silent choice of the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                raise yaml.YAMLError(f"line {node.value[place][0].start_mark.line + 1}: the key `{key}` stands twice")
        return super().construct_mapping(node, deep)


def refusal(*errors: tuple[str, str]) -> InvalidRecipe:
    """One clear message out of (place, message) pairs."""
    return InvalidRecipe(
        "; ".join(f"{place}: {message}" if place else message for place, message in errors),
        errors=[{"place": place, "message": message} for place, message in errors],
    )


def parse_recipe(body: bytes, content_type: str) -> Recipe:
    """A recipe as JSON (if the content type says so) or YAML. Raises InvalidRecipe with every mistake and its place."""
    recipe, mistakes = checked(_load(body, content_type))
    if recipe is None:
        raise refusal(*mistakes)
    return recipe


def _load(body: bytes, content_type: str) -> Any:
    try:
        text = body.decode()
        return json.loads(text) if "json" in content_type else yaml.load(text, _OneOfEachKey)
    except UnicodeDecodeError:
        raise refusal(("", "the recipe is not UTF-8 text")) from None
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: {getattr(error, 'problem', error)}" if mark else str(error)
        raise refusal(("", f"the recipe is not {'JSON' if 'json' in content_type else 'YAML'}: {where}")) from None
