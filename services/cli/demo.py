"""`make demo`: the whole method in small, from nothing to a report. Starts everything, runs the quickstart, shows what came of it.

Every step is a command that a person could type; only the last page is drawn here. Whatever happens, what was started is stopped.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from rich.table import Table

from services.cli.board import clock
from services.cli.connect import gateway
from services.cli.folder import Folder, free_port
from services.cli.supervisor import python
from services.cli.terminal import INTERRUPTED, out, say
from services.cli.thoughts import most_telling, thought_panel
from shared.client import ENDED, Client


def main() -> int:
    """Returns the exit code: 0 if the run is done and reported."""
    parser = argparse.ArgumentParser(prog="python -m services.cli.demo", description="The whole method in small.")
    parser.add_argument("--data", type=Path, default=Path("demo"), help="data folder (default: demo)")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/quickstart.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change the recipe")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupt)
    folder = Folder(chosen.data)
    if folder.holder() is not None:
        say(f"`longthought up` runs on {chosen.data} already: stop it with `longthought down --data {chosen.data}`.", error=True)
        return 2
    began = time.time()
    try:
        changes = [word for change in chosen.set for word in ("--set", change)]
        return show(folder, chosen.data, [str(chosen.recipe), *changes], began)
    except typer.Exit as ended:  # the gateway did not do it; `gateway` has said why
        return ended.exit_code
    except KeyboardInterrupt:
        say("\nInterrupted.", error=True)
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # from here on all is stopped, however often somebody presses Ctrl-C
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        command("down", "--data", str(chosen.data))


def show(folder: Folder, data: Path, recipe: Sequence[str], began: float) -> int:
    """Starts everything, runs the recipe, prints the last page; returns the exit code."""
    code = command("up", "--data", str(data), "--port", str(free_port(8000)), "--detach")
    if code:
        return code
    state = folder.state()
    os.environ |= {"LONGTHOUGHT_URL": state["url"], "LONGTHOUGHT_API_KEY": folder.key()}
    say("")
    with gateway() as client:
        for earlier in list(client.runs()):
            if earlier["state"] not in ENDED:
                say(f"{earlier['id']}, which an interrupted demo left, is cancelled.")
                client.cancel(earlier["id"])
    ran = subprocess.run(longthought("run", *recipe, "--watch"), stdout=subprocess.PIPE, text=True, check=False)
    run = ran.stdout.strip()
    if ran.returncode:
        return ran.returncode
    with gateway() as client:
        thoughts = [record["body"] for record in client.records(run, kind="thought")]
        if (telling := most_telling(thoughts)) is not None:
            out.print()
            out.print(thought_panel(telling))
        code = command("report", run)
        out.print(counts_table(client, run, thoughts, time.time() - began))
    return code


def counts_table(client: Client, run: str, thoughts: Sequence[dict[str, Any]], seconds: float) -> Table:
    """How much of everything there is."""
    status = client.run(run)
    trees = [record["body"] for record in client.records(run, kind="tree")]
    solved = sum(any(node["verified"] for node in tree["nodes"]) for tree in trees)
    roles = [Counter(span["role"] for span in thought["spans"]) for thought in thoughts]
    winding = sum(1 for found in roles if found["wrong_step"] and found["reflection"])
    shortcuts = sum(1 for _ in client.records(run, kind="shortcut"))
    pairs = sum(1 for _ in client.records(run, kind="pair"))
    samples = sum(1 for _ in client.records(run, kind="sample"))
    usage = status["usage"]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    nodes = sum(len(tree["nodes"]) - 1 for tree in trees)
    table.add_row("Trees", f"{len(trees):,} with {nodes:,} steps; {solved:,} reached a verified answer")
    table.add_row("Thoughts", f"{len(thoughts):,}, of which {winding:,} take a wrong turn and reflect on it")
    table.add_row("Also", f"{shortcuts:,} shortcuts, {pairs:,} preference pairs, {samples:,} graded samples")
    table.add_row("Tokens", f"{usage['prompt_tokens']:,} read, {usage['completion_tokens']:,} sampled")
    table.add_row("Time", f"{clock(status['created_at'], status['ended_at'], 0)} the run, {clock(0, seconds, 0)} in all")
    return table


def command(*words: str) -> int:
    """Runs a `longthought` command; returns its exit code."""
    return subprocess.run(longthought(*words), check=False).returncode


def longthought(*words: str) -> list[str]:
    """The command line of `longthought`, under this very interpreter."""
    return python("services.cli.main", *words)


def interrupt(number: int, frame: FrameType | None) -> None:
    """A signal's handler: SIGTERM does as Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
