"""A recipe as a person writes it: a YAML file and `--set` changes. Every complaint names the file and line, or the `--set`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from shared.contracts.recipe import Recipe

Place = tuple[str, ...]
"""Keys and list indices from the recipe's root."""
NAMED = ("models", "problems", "stages")
"""Parts of a recipe whose keys are names that the recipe itself gives."""


class BadRecipe(Exception):
    """What is wrong, one line a fault."""


class RecipeFile:
    """`body` is the recipe as JSON, changes applied. Whether it is a good one is for the gateway to say; `source` tells where."""

    def __init__(self, path: Path, changes: Sequence[str] = ()) -> None:
        """Reads a file. Raises BadRecipe if it is no YAML mapping, or a change is malformed or names an unknown path."""
        self.path = path
        self._lines: dict[Place, int] = {}
        self._changed: list[Place] = []
        self.body = self._read()
        for change in changes:
            self._change(change)

    def source(self, dotted: str) -> str:
        """`FILE:LINE` of a place such as `stages.search.width` (of its nearest key that is there), or `--set`."""
        place = tuple(dotted.split(".")) if dotted else ()
        if any(place[: len(changed)] == changed for changed in self._changed):
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
                self._note_lines(element, (*place, str(index)))
        if isinstance(node, yaml.MappingNode):
            seen: set[Place] = set()
            for key, value in node.value:
                line = key.start_mark.line + 1
                inner = (*place, str(key.value))
                if inner in seen:
                    raise BadRecipe(f"{self.path}:{line}: {'.'.join(inner)}: this key stands twice")
                seen.add(inner)
                self._lines[inner] = line
                self._note_lines(value, inner)

    def _change(self, change: str) -> None:
        """Applies `stages.search.width=3`. Fields left out of the file may be set; names (of stages ...) must be there."""
        path, equals, text = change.partition("=")
        if not equals or not all(path.split(".")):
            raise BadRecipe(f"--set {change}: expected PATH=VALUE, as in stages.search.width=3")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise BadRecipe(f"--set {path}: not a YAML value: {text}") from None
        here: Any = self.body
        words = path.split(".")
        for depth, word in enumerate(words):
            self._expect(here, words, depth)
            key = int(word) if isinstance(here, list) else word
            if depth == len(words) - 1:
                here[key] = value
            elif isinstance(here, dict) and here.get(word) is None:
                here[key] = {}
            here = here[key]
        self._changed.append(tuple(words))

    def _expect(self, here: Any, words: list[str], depth: int) -> None:
        """Raises BadRecipe if `here` cannot have the part that word number `depth` of a path names."""
        path, before, word = ".".join(words), ".".join(words[:depth]), words[depth]
        if isinstance(here, list):
            if not (word.isdigit() and int(word) < len(here)):
                raise BadRecipe(f"--set {path}: `{before}` is a list of {len(here)}: no element {word}")
        elif not isinstance(here, dict):
            raise BadRecipe(f"--set {path}: `{before}` is {here!r}, which has no parts")
        elif depth == 0 and word not in Recipe.model_fields:
            raise BadRecipe(f"--set {path}: unknown path: a recipe has no `{word}` (it has: {', '.join(Recipe.model_fields)})")
        elif depth == 1 and words[0] in NAMED and word not in here:
            raise BadRecipe(f"--set {path}: unknown path: {before} has no `{word}` (it has: {', '.join(map(str, here)) or 'none'})")
