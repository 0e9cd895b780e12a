"""`longthought transparency`: the index of a run, as a table, as Markdown, as JSON, or as a file of open questions."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.connect import gateway, stop
from services.cli.runs import JsonOption, RunArgument
from services.cli.terminal import REFUSED, out
from services.cli.transparency import CHECKS, BadAnswers, Facts, Finding, judge, template

MARKS = {"met": ("✓", "green"), "not used": ("○", "cyan"), "missing": ("✗", "red")}


def transparency(
    run_id: RunArgument,
    answers: Annotated[Path | None, typer.Option(help="A YAML file with what only a person can know.", show_default=False)] = None,
    as_template: Annotated[bool, typer.Option("--template", help="Print such a file, with the questions that are open.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a table for a paper or a card.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Score a run's transparency: 25 checks, each with its evidence or what is missing."""
    given = _answers(answers) if answers else {}
    with gateway() as client:
        facts = Facts(client.recipe(run_id), client.report(run_id), client.run(run_id))
    try:
        findings = judge(facts, given)
    except BadAnswers as error:
        stop("\n".join(f"{answers}: {line}" for line in str(error).splitlines()), REFUSED)
    if as_template:
        print(template(findings), end="")
    elif as_json:
        rows = [
            {"id": check.id, "group": check.group, "of": check.points, "points": one.points, "state": one.state, "words": one.words}
            for one in findings
            for check in (one.check,)
        ]
        print(json.dumps({"score": score(findings), "checks": rows}))
    elif as_markdown:
        print(markdown(findings))
    else:
        out.print(drawn(run_id, findings))


def score(findings: Sequence[Finding]) -> int:
    """Of 100."""
    return sum(finding.points for finding in findings)


def _answers(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        stop(f"{path}: cannot be read: {error}", REFUSED)
    if not isinstance(found, dict | None):
        stop(f"{path}: a mapping of checks to answers was expected (`--template` prints one)", REFUSED)
    return found or {}


def drawn(run_id: str, findings: Sequence[Finding]) -> RenderableType:
    """A table a group, and the score."""
    parts: list[RenderableType] = ["", Text.assemble(("Technical Transparency Index  ", "bold"), run_id)]
    for group in dict.fromkeys(check.group for check in CHECKS):
        mine = [finding for finding in findings if finding.check.group == group]
        most = sum(finding.check.points for finding in mine)
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", expand=True, pad_edge=False)
        table.add_column("", width=1)
        table.add_column(f"{group}  {score(mine)}/{most}", ratio=3)
        table.add_column("points", justify="right", no_wrap=True)
        table.add_column("evidence, or what is missing", ratio=5)
        for finding in mine:
            mark, style = MARKS[finding.state]
            words = Text(finding.words, style="dim" if finding.state != "missing" else "red")
            table.add_row(Text(mark, style=style), finding.check.question, f"{finding.points}/{finding.check.points}", words)
        parts.append(table)
    parts.append(Text(f"Score: {score(findings)} of 100", style="bold"))
    return Group(*parts)


def markdown(findings: Sequence[Finding]) -> str:
    """One table."""
    rows = [
        f"| {check.group} | {check.question} | {one.points}/{check.points} | {one.state}: {one.words.replace('|', '/')} |"
        for one in findings
        for check in (one.check,)
    ]
    head = ["| | check | points | evidence, or what is missing |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, f"| **all** | | **{score(findings)}/100** | |"])
