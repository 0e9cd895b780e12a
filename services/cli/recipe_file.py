"""A recipe as a person writes it: a YAML file and `--set` changes. Every complaint names the file and line, or the `--set`."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from shared.contracts.faults import Fault, Place, faults
from shared.contracts.recipe import Recipe

NAMED = ("models", "problems", "stages")
"""Parts of a recipe whose keys are names that the recipe itself gives."""


class BadRecipe(Exception):
    """What is wrong, one line a fault."""


class RecipeFile:
    """`body` is the recipe as JSON, changes applied; not checked until `check`."""

    def __init__(self, path: Path, changes: Sequence[str] = ()) -> None:
        """Reads a file. Raises BadRecipe if it is no YAML mapping, or a change is malformed or names an unknown path."""
        self.path = path
        self._lines: dict[Place, int] = {}
        self._changed: list[Place] = []
        self.body = self._read()
        for change in changes:
            self._change(change)

    def check(self) -> None:
        """Raises BadRecipe unless the recipe satisfies its contract."""
        try:
            Recipe.model_validate(self.body)
        except ValidationError as error:
            raise BadRecipe(self.explain(faults(error))) from None

    def explain(self, found: Sequence[Fault]) -> str:
        """Faults with the file and line that each comes from."""
        return "\n".join(f"{self._source(fault.place)}: {fault}" for fault in found)

    def _source(self, place: Place) -> str:
        for changed in self._changed:
            if place[: len(changed)] == changed:
                return "--set"
        known = next((place[:length] for length in range(len(place), -1, -1) if place[:length] in self._lines), ())
        return f"{self.path}:{self._lines.get(known, 1)}"

    def _read(self) -> dict[str, Any]:
        try:
            text = self.path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BadRecipe(f"{self.path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
        try:
            loader = yaml.SafeLoader(text)
            root = loader.get_single_node()
            if not isinstance(root, yaml.MappingNode):
                raise BadRecipe(f"{self.path}:1: a recipe is a mapping of keys to values (name, models, problems, stages)")
            self._note_lines(root, ())
            body: dict[str, Any] = loader.construct_document(root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            raise BadRecipe(f"{self.path}:{mark.line + 1 if mark else 1}: not YAML: {error.problem}") from None
        return body

    def _note_lines(self, node: yaml.Node, place: Place) -> None:
        """Remembers the line of every key and list element; two equal keys are an error (YAML would take the last)."""
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            for index, element in enumerate(node.value):
                self._note_lines(element, (*place, index))
        if isinstance(node, yaml.MappingNode):
            seen: set[Hashable] = set()
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in seen:
                    raise BadRecipe(f"{self.path}:{line}: {'.'.join(map(str, (*place, key.value)))}: this key stands twice")
                seen.add(key.value)
                self._lines[(*place, key.value)] = line
                self._note_lines(value, (*place, key.value))

    def _change(self, change: str) -> None:
        """Applies `stages.search.width=3`. Fields left out of the file may be set; names (of stages ...) must be there."""
        path, equals, text = change.partition("=")
        if not equals or not all(path.split(".")):
            raise BadRecipe(f"--set {change}: expected PATH=VALUE, as in stages.search.width=3")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise BadRecipe(f"--set {path}: not a YAML value: {text}") from None
        place: Place = ()
        here: Any = self.body
        words = path.split(".")
        for depth, word in enumerate(words):
            key: str | int = word
            if isinstance(here, list):
                if not (word.isdigit() and int(word) < len(here)):
                    raise BadRecipe(f"--set {path}: `{'.'.join(words[:depth])}` is a list of {len(here)}: no element {word}")
                key = int(word)
            elif not isinstance(here, dict):
                raise BadRecipe(f"--set {path}: `{'.'.join(words[:depth])}` is {here!r}, which has no parts")
            elif depth == 1 and words[0] in NAMED and word not in here:
                raise BadRecipe(
                    f"--set {path}: unknown path: {words[0]} has no `{word}` (it has: {', '.join(map(str, here)) or 'none'})"
                )
            elif depth == 0 and word not in Recipe.model_fields:
                raise BadRecipe(f"--set {path}: unknown path: a recipe has no `{word}` (it has: {', '.join(Recipe.model_fields)})")
            place = (*place, key)
            if depth == len(words) - 1:
                here[key] = value
            else:
                if isinstance(here, dict) and here.get(word) is None:
                    here[key] = {}
                here = here[key]
        self._changed.append(place)
