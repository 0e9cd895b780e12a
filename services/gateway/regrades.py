"""What a recipe regrades: the earlier run and its samples are there, or the recipe is refused."""

from collections.abc import Iterator
from typing import Any

from shared.contracts.recipe import Recipe
from shared.contracts.stages import EvaluateStage, Regrade
from shared.ledger.database import Ledger
from shared.ledger.records import record_keys
from shared.ledger.runs import get_run, get_stages
from shared.ledger.tables import StageState


def regrade_mistakes(ledger: Ledger, recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(place, message) of every stage that regrades what is not there: no such run or stage, no samples, no such model."""
    for name, stage in recipe.stages.items():
        if isinstance(stage, EvaluateStage) and stage.regrade:
            yield from _mistake(ledger, f"stages.{name}", stage, stage.regrade)


def _mistake(ledger: Ledger, where: str, stage: EvaluateStage, regrade: Regrade) -> Iterator[tuple[str, str]]:
    run = get_run(ledger, regrade.run)
    if run is None:
        yield f"{where}.regrade.run", f"there is no run `{regrade.run}` (`longthought runs` lists them)"
        return
    stages: dict[str, Any] = run.recipe["stages"]
    found = stages.get(regrade.stage)
    if found is None or found["kind"] != "evaluate":
        known = ", ".join(other for other, one in stages.items() if one["kind"] == "evaluate") or "none"
        yield f"{where}.regrade.stage", f"run {regrade.run} has no evaluate stage `{regrade.stage}` (its evaluations: {known})"
        return
    if earlier := found.get("regrade"):
        yield f"{where}.regrade", f"these samples are those of run {earlier['run']}, stage `{earlier['stage']}`: name that one"
        return
    if stage.reward_aggregate and not found.get("reward"):
        said = f"stage `{regrade.stage}` of run {regrade.run} names no `reward`: there are no scores to make weights of"
        yield f"{where}.reward_aggregate", said
        return
    [state] = [one.state for one in get_stages(ledger, regrade.run) if one.name == regrade.stage]
    measured = sorted({key.partition("/")[0] for key in record_keys(ledger, regrade.run, regrade.stage, "sample")})
    if state == StageState.OPEN:
        yield f"{where}.regrade", f"stage `{regrade.stage}` of run {regrade.run} is still sampling: wait for its end"
    elif not measured:
        yield f"{where}.regrade", f"stage `{regrade.stage}` of run {regrade.run} has no samples"
    for place, model in enumerate(stage.models if measured else ()):
        if model not in measured:
            known = ", ".join(measured)
            yield f"{where}.models.{place}", f"run {regrade.run} measured no model `{model}` there (it measured: {known})"
