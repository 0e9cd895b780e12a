"""`longthought compare`: two measured models, problem by problem, of one run or of two."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.connect import gateway, stop
from services.cli.runs import JsonOption
from services.cli.terminal import REFUSED, out
from shared.client import Client
from shared.contracts.report import Conditions
from shared.paired import Graded, Paired, paired

NAMES = "RUN, or RUN:MODEL where the run measured several"
DEFAULTS = {name: field.default for name, field in Conditions.model_fields.items() if not field.is_required()}
"""Conditions that an older report does not tell, since there was no choice."""
NO_PART = ("reward",)
"""Conditions without a part in what is compared here: a reward weighs votes, and changes no sample."""


def compare(
    first: Annotated[str, typer.Argument(metavar="FIRST", help=f"{NAMES}.")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help=f"{NAMES}.")],
    stage: Annotated[
        str | None, typer.Option(help="Of which evaluate stage; needed where there are several.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two models on the problems that both were measured on: paired difference, interval, McNemar test."""
    with gateway() as client:
        sides = [_side(client, name, stage) for name in (first, second)]
    names = [name for name, _, _ in sides]
    conditions = [one for _, _, one in sides]
    try:
        found = paired(sides[0][1], sides[1][1])
    except ValueError as error:
        stop(f"{first} and {second}: {error}", REFUSED)
    differing = sorted(key for key in conditions[0] if key not in NO_PART and conditions[0][key] != conditions[1].get(key))
    if as_json:
        print(json.dumps({"models": names, **asdict(found), "differing_conditions": differing}))
    else:
        out.print(drawn(names, found, conditions, differing))


def _side(client: Client, name: str, stage: str | None) -> tuple[str, Graded, Mapping[str, Any]]:
    """A model's name, its graded samples by problem in order of their draw, and the conditions it was measured under."""
    run, _, model = name.partition(":")
    report = client.report(run)
    measured = sorted(report["models"])
    if not measured:
        stop(f"{run}: no model of it was measured", REFUSED)
    if not model and len(measured) > 1:
        stop(f"{run}: which of its models? {', '.join(f'{run}:{one}' for one in measured)}", REFUSED)
    key = next((one for one in (model, f"{model}@{stage}") if one in report["models"]), measured[0] if not model else None)
    if key is None:
        stop(f"{run}: measured no model `{model}` (it measured: {', '.join(measured)})", REFUSED)
    bare = key.partition("@")[0]
    graded: defaultdict[str, list[tuple[int, bool]]] = defaultdict(list)
    stages = set()
    for record in client.records(run, stage or key.partition("@")[2] or None, "sample"):
        body = record["body"]
        if body["model"] == bare and body["grading_error"] is None:
            graded[body["problem_id"]].append((body["draw"], body["verified"]))
            stages.add(record["stage"])
    if len(stages) > 1:
        stop(f"{run}: `{bare}` was measured by several stages: name one with --stage ({', '.join(sorted(stages))})", REFUSED)
    return (
        f"{run}:{bare}",
        {one: [right for _, right in sorted(found)] for one, found in graded.items()},
        {**DEFAULTS, **report["models"][key]["conditions"]},
    )


def drawn(names: list[str], found: Paired, conditions: list[Mapping[str, Any]], differing: list[str]) -> RenderableType:
    """Both accuracies, their difference, and what must be known to read it."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("model", overflow="fold")
    table.add_column("pass@1", justify="right", no_wrap=True)
    table.add_column("first sample right alone", justify="right", no_wrap=True)
    for name, value, alone in ((names[0], found.first, found.only_first), (names[1], found.second, found.only_second)):
        table.add_row(name, f"{100 * value:.1f}%", str(alone))
    sure = found.low > 0 or found.high < 0
    points = Text(
        f"{100 * found.difference:+.1f} points", style=("bold green" if found.difference > 0 else "bold red") if sure else "bold"
    )
    points.append(f"  95% interval {100 * found.low:+.1f} to {100 * found.high:+.1f}, McNemar p = {found.p_value:.3f}", style="")
    points.append(f"  ({found.problems:,} problems that both were measured on)", style="dim")
    warning = [
        Text(f"Not comparable: they differ in {key} ({conditions[0][key]} and {conditions[1].get(key)})", style="red")
        for key in differing
    ]
    return Group(table, points, *warning)
