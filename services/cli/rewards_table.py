"""The figures of rewards on labelled steps, drawn: a column a stage, and what must be known to read them."""

from collections.abc import Callable, Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

Report = Mapping[str, Any]
Figure = Callable[[Report], float | None]

GROUPS: tuple[tuple[str, tuple[tuple[str, Figure], ...]], ...] = (
    (
        "steps",
        (
            ("precision", lambda report: report["steps"]["precision"]),
            ("recall", lambda report: report["steps"]["recall"]),
            ("F1", lambda report: report["steps"]["f1"]),
            ("F1, mean of both classes", lambda report: report["steps"]["macro_f1"]),
            ("could not tell", lambda report: ratio(report["unknown"], judged_steps(report))),
        ),
    ),
    (
        "solutions",
        (
            ("precision", lambda report: report["solutions"]["precision"]),
            ("recall", lambda report: report["solutions"]["recall"]),
            ("F1", lambda report: report["solutions"]["f1"]),
            ("F1, mean of both classes", lambda report: report["solutions"]["macro_f1"]),
        ),
    ),
    (
        "first error",
        (
            ("found, of wrong solutions", lambda report: report["first_error_accuracy"]),
            ("none accused, of right ones", lambda report: report["correct_accuracy"]),
            ("F1 of these two", lambda report: report["processbench_f1"]),
        ),
    ),
)


def rewards_table(run_id: str, rewards: Mapping[str, Report]) -> Table:
    """A column a stage; where there are several, the best F1 and first errors in green."""
    table = Table(title=run_id, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("rewards on labelled steps", no_wrap=True)
    for stage, report in rewards.items():
        kind = "" if report["reward"] == stage else f"\n{report['reward']}"
        table.add_column(Text.assemble(stage, (kind, "cyan")), justify="right")
    for group, figures in GROUPS:
        table.add_row(Text(group, style="bold cyan"))
        for title, figure in figures:
            found = [figure(report) for report in rewards.values()]
            best = _best(found) if title.startswith(("F1", "found")) else None
            cells = [Text(percent(value), style="bold green" if value is not None and value == best else "") for value in found]
            table.add_row(f"  {title}", *cells)
    table.add_row(Text("cost", style="bold cyan"))
    table.add_row("  tokens paid for", *(f"{tokens(report):,}" for report in rewards.values()))
    if any(report["format_errors"] for report in rewards.values()):
        table.add_row("  answers asked for again", *(f"{report['format_errors']:,}" for report in rewards.values()))
    return table


def _best(values: list[float | None]) -> float | None:
    """The highest of several stages' figures; None where there is nothing to compare."""
    there = [value for value in values if value is not None]
    return max(there) if len(values) > 1 and there and max(there) > 0 else None


def ratio(part: int, whole: int) -> float | None:
    """None of nothing."""
    return part / whole if whole else None


def percent(value: float | None) -> str:
    """A share; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}%"


def judged_steps(report: Report) -> int:
    """Steps in the figures."""
    return sum(report["steps"][name] for name in ("found", "missed", "accused", "passed"))


def tokens(report: Report) -> int:
    """The judge's and the policy's."""
    return int(report["reward_tokens"] + report["prompt_tokens"] + report["completion_tokens"])


def reward_notes(rewards: Mapping[str, Report]) -> list[Text]:
    """What was judged, how the figures are meant, and what is in none of them."""
    lines = []
    for stage, report in rewards.items():
        steps = report["steps"]
        lines.append(f"{stage}: {report['solution_count']:,} solutions of {report['benchmark']}")
        lines.append(
            f"{stage}: {steps['found'] + steps['missed']:,} of {judged_steps(report):,} steps wrong: {steps['found']:,} found, "
            f"{steps['missed']:,} missed, {steps['accused']:,} right ones accused"
        )
        lines += [f"{stage}: {role} is {uri}" for role, uri in report["models"].items()]
        lines += [f"{stage}: in no figure: {count:,} {what}" for what, count in report["left_out"].items() if count]
        if report["unlabelled"]:
            lines.append(f"{stage}: {report['unlabelled']:,} problems have no labelled steps and were passed over")
        if report["missing"]:
            lines.append(f"{stage}: {report['missing']:,} problems are missing (their items died), and in no figure")
    lines += [
        "precision, recall, F1: of the class 'wrong'; a solution is wrong if it holds a wrong step",
        "a step of which a reward could not tell counts as not called wrong",
    ]
    return [Text(f"  {line}", style="dim") for line in lines]
