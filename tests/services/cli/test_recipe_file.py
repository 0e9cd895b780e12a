"""Recipes as people write them: what is wrong, with the file and line or the `--set` that it comes from."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.recipe_file import BadRecipe, RecipeFile
from shared.contracts.recipe import Recipe

GOOD = """\
name: tiny
models:
  base: {model: smollm2-135m-instruct}
problems:
  heldout: {generator: arithmetic, seed: 7, count: 10}
stages:
  search:
    kind: search
    problems: heldout
    policy: base
    keep: 2
  measure:
    kind: evaluate
    models: [base]
    problems: heldout
"""


def written(tmp_path: Path, text: str = GOOD) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def complaint(path: Path, *changes: str) -> str:
    with pytest.raises(BadRecipe) as caught:
        RecipeFile(path, changes)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("change", "place", "value"),
    [
        ("name=other", ("name",), "other"),
        ("stages.search.keep=3", ("stages", "search", "keep"), 3),
        ("stages.search.width=8", ("stages", "search", "width"), 8),  # left out of the file
        ("stages.search.reward.rollouts=2", ("stages", "search", "reward", "rollouts"), 2),
        ("stages.search.reward={kind: rollout, rollouts: 2}", ("stages", "search", "reward", "kind"), "rollout"),
        ("stages.measure.models=[base, search]", ("stages", "measure", "models"), ["base", "search"]),
        ("stages.measure.models.0=other", ("stages", "measure", "models", 0), "other"),
        ("stages.search.stop_after=null", ("stages", "search", "stop_after"), None),
        ("models.base.url=http://127.0.0.1:9/v1?a=b", ("models", "base", "url"), "http://127.0.0.1:9/v1?a=b"),
        ("seed=", ("seed",), None),
    ],
)
def test_a_change_is_applied(tmp_path: Path, change: str, place: tuple[str | int, ...], value: object) -> None:
    here: Any = RecipeFile(written(tmp_path), [change]).body
    for key in place:
        here = here[key]
    assert here == value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("stages.serch.width=3", "--set stages.serch.width: unknown path: stages has no `serch` (it has: search, measure)"),
        ("nam=x", "--set nam: unknown path: a recipe has no `nam`"),
        ("models.teacher.url=http://x", "--set models.teacher.url: unknown path: models has no `teacher` (it has: base)"),
        ("stages.search.keep.more=1", "--set stages.search.keep.more: `stages.search.keep` is 2, which has no parts"),
        ("stages.measure.models.1=x", "--set stages.measure.models.1: `stages.measure.models` is a list of 1: no element 1"),
        ("stages.search.width", "--set stages.search.width: expected PATH=VALUE"),
        ("stages..width=3", "--set stages..width=3: expected PATH=VALUE"),
        ("name=[a", "--set name: not a YAML value: [a"),
    ],
)
def test_a_bad_change_is_named(tmp_path: Path, change: str, words: str) -> None:
    assert complaint(written(tmp_path), change).startswith(words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    keep: 2", "    keep: 2\n    keep: 3", "recipe.yaml:12: stages.search.keep: this key stands twice"),
        ("    keep: 2", "    keep: [2", "recipe.yaml:12: not YAML: "),
        (GOOD, "- a list", "recipe.yaml:1: a recipe is a mapping"),
        (GOOD, "", "recipe.yaml:1: a recipe is a mapping"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    assert complaint(written(tmp_path, GOOD.replace(old, new))).startswith(words)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("stages.search.keep", "recipe.yaml:11"),
        ("stages.search.kind", "recipe.yaml:8"),
        ("stages.search.reward", "recipe.yaml:7"),  # not there: where it would be
        ("stages.measure.models.0", "recipe.yaml:14"),
        ("problems.heldout.count", "recipe.yaml:5"),
        ("seed", "recipe.yaml:1"),
        ("", "recipe.yaml:1"),
        ("stages.search.width", "--set"),
        ("stages.search.sampling.temperature", "--set"),
    ],
)
def test_a_place_has_its_line(tmp_path: Path, place: str, source: str) -> None:
    recipe = RecipeFile(written(tmp_path), ["stages.search.width=1", "stages.search.sampling={temperature: 9}"])
    assert recipe.source(place).removeprefix(f"{tmp_path}/") == source


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert complaint(tmp_path / "none.yaml") == "none.yaml: cannot be read: No such file or directory"


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[3].glob("recipes/*.yaml")), ids=lambda path: path.name)
def test_the_recipes_that_come_along_are_good(path: Path) -> None:
    Recipe.model_validate(yaml.safe_load(path.read_text()))
