"""A recipe's problem sources: stored sets are looked up, generators' problems are stored as sets of their own."""

import time
from collections.abc import Iterator
from typing import Any

from services.gateway.recipes import refusal
from services.gateway.regrades import regrade_mistakes
from shared.contracts.models import ProblemSource
from shared.contracts.problem import Problem
from shared.contracts.recipe import Recipe
from shared.contracts.stages import CurateStage, EvaluateStage
from shared.ledger.database import Ledger
from shared.ledger.problems import SetExists, SetLost, distinct_values, get_set, iterate_problems, list_sets, store_set
from shared.pricing.lengths import SAMPLE, Measured, measure
from shared.problems.generate import MOST_GENERATED, generate


def prepare_sources(ledger: Ledger, recipe: Recipe) -> set[str]:
    """Makes sure that every source the stages use is there; returns the sets' names.

    Raises InvalidRecipe before it stores anything.
    """
    sources = _checked(ledger, recipe)
    for source in sources.values():
        if source.generator:
            _materialise(ledger, source)
    return {source.stored_as for source in sources.values()}


def measure_sources(ledger: Ledger, recipe: Recipe) -> dict[str, Measured]:
    """Number and mean lengths of the problems that each of the recipe's sources means. Stores nothing. Raises InvalidRecipe."""
    found = {}
    for name, source in _checked(ledger, recipe).items():
        if source.set:
            row = get_set(ledger, source.set)
            count = source.asked(row.size if row else None) or 0
            stored = iterate_problems(ledger, source.set, source.first, min(count, SAMPLE))
            problems = [Problem.model_validate(body) for body in stored]
        else:
            assert source.generator and source.count
            count = source.count
            problems = list(generate(source.generator, source.seed, source.skip, min(count, SAMPLE)))
        found[name] = measure(problems, count)
    return found


def _checked(ledger: Ledger, recipe: Recipe) -> dict[str, ProblemSource]:
    """The sources that the stages use. Raises InvalidRecipe if one of them is not there."""
    used = {source for stage in recipe.stages.values() for _, source in stage.sources()}
    sources = {name: source for name, source in recipe.problems.items() if name in used}
    mistakes = [mistake for name, source in sources.items() for mistake in _mistakes(ledger, name, source)]
    mistakes += regrade_mistakes(ledger, recipe)
    mistakes = mistakes or list(_gradings(ledger, recipe))
    if mistakes:
        raise refusal(*mistakes)
    return sources


def _mistakes(ledger: Ledger, name: str, source: ProblemSource) -> Iterator[tuple[str, str]]:
    if source.set is None:
        if source.skip + (source.count or 0) > MOST_GENERATED:
            yield f"problems.{name}", f"`skip` and `count` together must be at most {MOST_GENERATED}"
        return
    row = get_set(ledger, source.set)
    if row is None:
        known = ", ".join(row.name for row in list_sets(ledger)) or "none"
        yield (
            f"problems.{name}.set",
            f"there is no problem set `{source.set}` (known: {known}); `longthought problems add` adds one",
        )
    elif row.size <= source.skip:
        yield f"problems.{name}.skip", f"`{source.set}` has {row.size} problems, none after the first {source.skip}"


def _gradings(ledger: Ledger, recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Stages that cannot do with how their problems are graded: an evaluation needs a judge for some, all others known answers."""
    for name, stage in recipe.stages.items():
        if not hasattr(stage, "problems"):
            continue
        source = recipe.source_of(stage.problems)
        if source.set is None or isinstance(stage, CurateStage):
            continue
        found = distinct_values(ledger, source.set, ("grading", "kind"), source.first, source.count)
        kinds = sorted(kind for kind in found if kind not in (None, "answer"))
        if isinstance(stage, EvaluateStage):
            if "judge" in kinds and stage.judge is None and stage.regrade is None:
                yield (
                    f"stages.{name}.judge",
                    f"is missing: `{source.set}` holds problems that a judge grades; name a model of the recipe",
                )
        elif kinds:
            yield (
                f"stages.{name}.problems",
                f"`{source.set}` holds problems graded by {' and '.join(kinds)}, not by a known answer: only evaluations take them",
            )


def _materialise(ledger: Ledger, source: ProblemSource) -> None:
    """Stores a generator's slice unless it is there. Somebody else who is storing it right now is waited for."""
    while get_set(ledger, source.stored_as) is None:
        try:
            store_set(ledger, source.stored_as, _bodies(source))
        except (SetExists, SetLost):
            time.sleep(0.05)  # the other one finishes, or shows no sign of life for so long that its place is free


def _bodies(source: ProblemSource) -> Iterator[dict[str, Any]]:
    assert source.generator is not None
    return (problem.model_dump(mode="json") for problem in generate(source.generator, source.seed, source.skip, source.count))
