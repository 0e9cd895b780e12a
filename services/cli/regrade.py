"""`longthought regrade`: an earlier run's samples graded by today's grader, as a run of its own, without any model."""

from collections import Counter
from typing import Annotated, Any

import typer

from services.cli.connect import gateway, stop
from services.cli.runs import RunArgument, WatchOption, attend, begun, finish, post
from services.cli.terminal import REFUSED, say
from shared.client import Client
from shared.contracts.recipe import Recipe
from shared.contracts.regraded import Regraded
from shared.contracts.stages import EvaluateStage

SUFFIX = "-regraded"
LONGEST_NAME = 63


def regrade(
    run_id: RunArgument,
    stage: Annotated[str | None, typer.Option(help="Only this evaluate stage; else all of the run.", show_default=False)] = None,
    aggregate: Annotated[
        str | None,
        typer.Option(help="Weigh votes anew by stored step scores: min, last, mean or product.", metavar="HOW", show_default=False),
    ] = None,
    watch_it: WatchOption = False,
) -> None:
    """Grade a run's stored samples anew, with today's grader, and report on them: a new run that asks no model."""
    with gateway() as client:
        recipe = Recipe.model_validate(client.recipe(run_id))
        measured = {name: one for name, one in recipe.stages.items() if isinstance(one, EvaluateStage)}
        if stage is not None and stage not in measured:
            stop(f"{run_id}: it has no evaluate stage `{stage}` (its evaluations: {', '.join(measured) or 'none'})", REFUSED)
        if not measured:
            stop(f"{run_id}: it has no evaluate stage, and so no samples to be graded", REFUSED)
        chosen = measured if stage is None else {stage: measured[stage]}
        if aggregate and not any(one.reward for one in chosen.values()):
            stop(f"{run_id}: {', '.join(chosen)} named no `reward`: there are no scores to make weights of", REFUSED)
        new = post(client, recipe_of(run_id, recipe, chosen, aggregate))
        print(new, flush=True)
        status = begun(client, new)
        code = attend(client, new) if watch_it else finish(client, status)
        for line in changed(client, new):
            say(line)
        raise typer.Exit(code)


def recipe_of(run_id: str, recipe: Recipe, stages: dict[str, EvaluateStage], aggregate: str | None = None) -> dict[str, Any]:
    """The recipe that regrades some stages of a run: each with the stored problems that it was asked.

    `aggregate`: how those that had a reward make weights of its scores now.
    """
    return {
        "name": f"{recipe.name[: LONGEST_NAME - len(SUFFIX)]}{SUFFIX}",
        "description": f"The samples of {run_id}, graded anew.",
        "seed": recipe.seed,
        "problems": {name: recipe.source_of(one.problems).model_dump(mode="json") for name, one in stages.items()},
        "stages": {
            name: {
                "kind": "evaluate",
                "problems": name,
                "keywords": list(one.keywords),
                "regrade": {"run": run_id, "stage": name},
                **({"reward_aggregate": aggregate} if aggregate and one.reward else {}),
            }
            for name, one in stages.items()
        },
    }


def changed(client: Client, run_id: str) -> list[str]:
    """What became of the verdicts, a line for each stage and model that is through."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for record in client.records(run_id, kind="regraded"):
        body = Regraded.model_validate(record["body"])
        figures = body.model_dump(exclude={"version", "model"})
        counts.setdefault((record["stage"], body.model), Counter()).update(figures)
    return [f"{stage}, {model}: {_words(found)}" for (stage, model), found in sorted(counts.items())]


def _words(found: Counter[str]) -> str:
    ungraded = f"; {found['ungraded']:,} could not be graded ({found['ungraded_before']:,} before)"
    judged = f"; {found['judged']:,} keep a judge's verdict" if found["judged"] else ""
    return (
        f"{found['samples']:,} samples, {found['wrong_to_right']:,} wrong to right, {found['right_to_wrong']:,} right to wrong"
        f"{ungraded if found['ungraded'] or found['ungraded_before'] else ''}{judged}"
    )
