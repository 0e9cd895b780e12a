"""`longthought compare`: two measured models, problem by problem, of one run or of two."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
ASKED = ("question", "choices", "answer")
"""What makes a problem the same one in two runs: a set may have been deleted, and added anew under its name, since the first."""
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
        one, other = (_side(client, name, stage) for name in (first, second))
    changed = {name for name in one.graded.keys() & other.graded if not _same(one.asked[name], other.asked[name])}
    try:
        found = paired(_without(changed, one.graded), _without(changed, other.graded))
    except ValueError as error:
        why = f" ({len(changed):,} of the same ids ask something else, or have another answer)" if changed else ""
        stop(f"{first} and {second}: {error}{why}", REFUSED)
    mine, theirs = one.conditions, other.conditions
    differing = {key: (mine[key], theirs.get(key)) for key in sorted(mine) if key not in NO_PART and mine[key] != theirs.get(key)}
    if as_json:
        beside = {
            "ungraded": [one.ungraded, other.ungraded],
            "not_compared": [len(side.graded) - len(changed) - found.problems for side in (one, other)],
            "changed_problems": len(changed),
        }
        print(json.dumps({"models": [one.name, other.name], **asdict(found), **beside, "differing_conditions": [*differing]}))
    else:
        out.print(drawn(one, other, found, differing, len(changed)))


@dataclass(frozen=True)
class Side:
    """One of the two models."""

    name: str
    graded: Graded
    """Its graded samples by problem, in order of their draw."""
    ungraded: int
    """Samples that could not be graded, and are not among them."""
    conditions: Mapping[str, Any]
    asked: Mapping[str, Mapping[str, Any]]
    """What each problem asks, and its answer; what older samples do not tell is not there."""


def _side(client: Client, name: str, stage: str | None) -> Side:
    run, _, asked = name.partition(":")
    report = client.report(run)
    key = _measured(run, asked, stage, report)
    bare = key.partition("@")[0]
    graded: defaultdict[str, list[tuple[int, bool]]] = defaultdict(list)
    asked_for: dict[str, dict[str, Any]] = {}
    stages = set()
    ungraded = 0
    for record in client.records(run, stage or key.partition("@")[2] or None, "sample"):
        body = record["body"]
        if body["model"] != bare:
            continue
        stages.add(record["stage"])
        if body["grading_error"] is None:
            graded[body["problem_id"]].append((body["draw"], body["verified"]))
            asked_for[body["problem_id"]] = {part: body[part] for part in ASKED if part in body}
        else:
            ungraded += 1
    if not stages:
        stop(f"{run}: there is no sample of `{bare}`{f' in `{stage}`: it was not measured there' if stage else ''}", REFUSED)
    if len(stages) > 1:
        stop(f"{run}: `{bare}` was measured by several stages: name one with --stage ({', '.join(sorted(stages))})", REFUSED)
    in_order = {one: [right for _, right in sorted(found)] for one, found in graded.items()}
    return Side(f"{run}:{bare}", in_order, ungraded, {**DEFAULTS, **report["models"][key]["conditions"]}, asked_for)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two problems of one id are the same, as far as both tell."""
    return all(one[part] == other[part] for part in one.keys() & other)


def _without(names: set[str], graded: Graded) -> Graded:
    return {name: flags for name, flags in graded.items() if name not in names}


def _measured(run: str, model: str, stage: str | None, report: Mapping[str, Any]) -> str:
    """The report's key of the model: its name, or NAME@STAGE where several stages measured it."""
    measured = sorted(report["models"])
    if not measured:
        stop(f"{run}: no model of it was measured", REFUSED)
    if stage and stage not in report["benchmarks"]:
        stop(f"{run}: there is no report of a stage `{stage}` (there is of: {', '.join(sorted(report['benchmarks']))})", REFUSED)
    if stage and model.partition("@")[2] not in ("", stage):
        stop(f"{run}: `{model}` and --stage {stage} name two stages", REFUSED)
    if not model and len(measured) > 1:
        stop(f"{run}: which of its models? {', '.join(f'{run}:{one}' for one in measured)}", REFUSED)
    key = next((one for one in (f"{model}@{stage}", model) if one in report["models"]), measured[0] if not model else None)
    if key is None:
        stop(f"{run}: measured no model `{model}` (it measured: {', '.join(measured)})", REFUSED)
    return key


def drawn(one: Side, other: Side, found: Paired, differing: Mapping[str, tuple[Any, Any]], changed: int = 0) -> RenderableType:
    """Both accuracies, their difference, and what must be known to read it. `changed`: problems that are not the same ones."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("model", overflow="fold")
    table.add_column("pass@1", justify="right", no_wrap=True)
    table.add_column("first sample right alone", justify="right", no_wrap=True)
    for side, value, alone in ((one, found.first, found.only_first), (other, found.second, found.only_second)):
        table.add_row(side.name, f"{100 * value:.1f}%", str(alone))
    sure = found.low > 0 or found.high < 0
    points = Text(
        f"{100 * found.difference:+.1f} points", style=("bold green" if found.difference > 0 else "bold red") if sure else "bold"
    )
    points.append(f"  95% interval {100 * found.low:+.1f} to {100 * found.high:+.1f}, McNemar p = {found.p_value:.3f}", style="")
    points.append(f"  ({found.problems:,} problems that both were measured on)", style="dim")
    left_out = [
        Text(f"{side.name}: {count:,} {what}", style="yellow")
        for side in (one, other)
        for count, what in (
            (side.ungraded, "samples could not be graded, and are not compared"),
            (len(side.graded) - changed - found.problems, "of its problems the other has no graded sample of"),
        )
        if count
    ]
    if changed:
        words = "problems ask something else in the other run, or have another answer there, and are not compared"
        left_out.append(Text(f"{changed:,} {words}", style="yellow"))
    warning = [
        Text(f"Not comparable: they differ in {key} ({mine} and {theirs})", style="red")
        for key, (mine, theirs) in differing.items()
    ]
    return Group(table, points, *left_out, *warning)
