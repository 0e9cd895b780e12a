"""Commands on the house: checkpoints and queues."""

import json
import time

from rich.table import Table

from services.cli.connect import gateway
from services.cli.runs import JsonOption
from services.cli.terminal import out


def models(as_json: JsonOption = False) -> None:
    """List checkpoints that runs trained, newest first."""
    with gateway() as client:
        found = client.models()
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title, side in (("run", "left"), ("model", "left"), ("samples", "right"), ("steps", "right"), ("loss", "right")):
        table.add_column(title, justify="right" if side == "right" else "left", no_wrap=True)
    table.add_column("made", style="dim", no_wrap=True)
    table.add_column("where", overflow="fold")
    for row in found:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["created_at"]))
        table.add_row(row["run"], row["stage"], f"{row['samples']:,}", f"{row['steps']:,}", f"{row['loss']:.3f}", made, row["uri"])
    out.print(table if found else "No checkpoints yet: a run with a `train` stage makes them.")


def queues(as_json: JsonOption = False) -> None:
    """Show the queues: what waits, what runs, who works."""
    with gateway() as client:
        found = client.queues()
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("queue")
    for title in ("queued", "running", "workers", "slots"):
        table.add_column(title, justify="right")
    for name, row in found.items():
        style = "yellow" if row["queued"] and not row["workers"] else None
        table.add_row(name, *(f"{row[column]:,}" for column in ("queued", "running", "workers", "slots")), style=style)
    out.print(table)
