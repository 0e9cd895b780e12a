"""`longthought`: the command line. One file a group of commands; here they come together."""

from importlib.metadata import version
from typing import Annotated

import typer

from services.cli import (
    compare,
    house,
    problems,
    prune,
    regrade,
    results,
    reward,
    runs,
    scores,
    thought_statistics,
    trace,
    transparency_table,
    trees,
    up,
)
from services.cli.terminal import out

app = typer.Typer(
    help="Grow reasoning trees, compile long thoughts, train on them, and measure what that bought.",
    epilog="LONGTHOUGHT_URL and LONGTHOUGHT_API_KEY say where the gateway is: `source DIR/client.env` sets both.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command, panel in (
    (up.up, "This machine"),
    (up.down, "This machine"),
    (runs.run, "Runs"),
    (reward.eval_reward, "Runs"),
    (regrade.regrade, "Runs"),
    (runs.list_runs, "Runs"),
    (runs.status, "Runs"),
    (runs.pause, "Runs"),
    (runs.resume, "Runs"),
    (runs.cancel, "Runs"),
    (results.report, "Results"),
    (compare.compare, "Results"),
    (scores.scores, "Results"),
    (trees.trees, "Results"),
    (thought_statistics.thoughts, "Results"),
    (trace.trace, "Results"),
    (transparency_table.transparency, "Results"),
    (results.export, "Results"),
    (house.models, "The house"),
    (house.queues, "The house"),
    (prune.prune, "The house"),
):
    app.command(name="runs" if command is runs.list_runs else None, rich_help_panel=panel)(command)
app.add_typer(problems.app, name="problems", rich_help_panel="Problem sets")


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(version("longthought"))
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


if __name__ == "__main__":
    app()
