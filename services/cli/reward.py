"""`longthought eval-reward`: a reward measured on labelled steps, without a recipe to write."""

from typing import Annotated, Any

import typer

from services.cli.connect import gateway, stop
from services.cli.results import picture
from services.cli.runs import attend, begun, finish, post
from services.cli.terminal import DONE, REFUSED, out, say

STAGE = "reward"


def eval_reward(
    problems: Annotated[
        str | None, typer.Option("--set", metavar="NAME", help="A stored set with labelled steps; without it, the bundled one.")
    ] = None,
    kind: Annotated[str, typer.Option("--reward", metavar="KIND", help="arithmetic, rollout, prm or critic.")] = "arithmetic",
    model: Annotated[str | None, typer.Option(metavar="M", help="For prm and critic: the model that judges.")] = None,
    prm: Annotated[str | None, typer.Option(metavar="FORMAT", help="For prm: how it marks steps, as qwen2.5-math-prm.")] = None,
    threshold: Annotated[float | None, typer.Option(help="For prm: a step that scores below it is called incorrect.")] = None,
    policy: Annotated[str | None, typer.Option(metavar="M", help="For rollout: the model that completes solutions.")] = None,
    rollouts: Annotated[int | None, typer.Option(help="For rollout: completions a step.")] = None,
    url: Annotated[str | None, typer.Option(help="The model is at this OpenAI-compatible address.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="The variable on the worker that holds the address's key.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="So many solutions (the bundled set: 100).")] = None,
    skip: Annotated[int, typer.Option(min=0, help="Solutions to pass over first.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the bundled set.")] = 7,
    watch_it: Annotated[bool, typer.Option("--watch", help="Wait for the end and print the figures.")] = False,
) -> None:
    """Measure a reward on labelled steps: precision, recall, F1, first error."""
    recipe = recipe_of(
        problems=problems,
        kind=kind,
        setting={"threshold": threshold, "rollouts": rollouts},
        judge=model,
        policy=policy,
        spec={"prm": prm, "url": url, "api_key_env": api_key_env},
        part={"count": count, "skip": skip, "seed": seed},
    )
    with gateway() as client:
        run_id = post(client, recipe)
        say(f"Run {run_id}")
        if not watch_it:
            print(run_id, flush=True)
        status = begun(client, run_id)
        if status["state"] == "rejected":
            stop(str(status["reason"]), REFUSED)
        code = attend(client, run_id) if watch_it else finish(client, status)
        if watch_it and code == DONE:
            out.print(picture(run_id, client.report(run_id)))
    raise typer.Exit(code)


def recipe_of(
    *,
    problems: str | None,
    kind: str,
    setting: dict[str, Any],
    judge: str | None,
    policy: str | None,
    spec: dict[str, Any],
    part: dict[str, Any],
) -> dict[str, Any]:
    """The recipe of one `eval_reward` stage; whether it is a good one is for the gateway to say. What is None is left out.

    `spec` describes the model that the options name: the judge, or, where there is none, the policy.
    """
    source = {"set": problems} if problems else {"generator": "arithmetic-labelled", "seed": part["seed"]}
    amount = part["count"] if problems else part["count"] or 100
    models = {name: {"model": name_or_path} for name, name_or_path in (("judge", judge), ("policy", policy)) if name_or_path}
    if models:
        models["judge" if judge else "policy"] |= _given(spec)
    return {
        "name": "eval-reward",
        "description": f"The reward {kind} on {problems or 'the bundled set'}.",
        "models": models,
        "problems": {"labelled": _given({**source, "skip": part["skip"], "count": amount})},
        "stages": {
            STAGE: {
                "kind": "eval_reward",
                "problems": "labelled",
                "reward": _given({"kind": kind, "model": "judge" if judge else None, **setting}),
                **({"policy": "policy"} if policy else {}),
            }
        },
    }


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
