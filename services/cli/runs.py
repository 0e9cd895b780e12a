"""Commands on runs: start one, list them, see how one stands, pause, resume, cancel."""

import json
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.table import Table
from rich.text import Text

from services.cli.board import Board, clock, state_text
from services.cli.connect import gateway, stop
from services.cli.dry_run import Wishes, show_price
from services.cli.recipe_file import BadRecipe, RecipeFile
from services.cli.terminal import DONE, FAILED, INTERRUPTED, REFUSED, out, say
from services.cli.watch import Status, wait_for_preflight, watch
from shared.client import ApiError, Client

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, as `longthought run` prints it.")]
WatchOption = Annotated[bool, typer.Option("--watch", help="Show progress until the run ends.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout, for scripts.")]

STAGE = ("state", "total", "done", "dead", "running", "queued")
"""What `status --json` tells of a stage: scripts rely on it."""
EXIT = {"done": DONE, "failed": FAILED, "cancelled": FAILED, "rejected": REFUSED}
SHOWN_ERRORS = 5
PRICES = "Prices (with --dry-run)"


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="What to do: models, problems, stages.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change the recipe, as stages.search.width=3. Repeatable."),
    ] = None,
    watch_it: WatchOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the recipe and say what it will cost. Nothing is stored or started.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --dry-run: JSON on stdout, for scripts.", rich_help_panel=PRICES)
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="KIND", help="Speed of such a device: cpu, cpu-fp32 (no bf16 units), a100 or h100.", rich_help_panel=PRICES
        ),
    ] = None,
    throughput: Annotated[
        str,
        typer.Option(
            metavar="KIND=N[@SIZE],...",
            help="Tokens a second: engine (written), prompt (read), train; of a model of 7b, unless @135m, say, follows.",
            rich_help_panel=PRICES,
        ),
    ] = "",
    parameters: Annotated[
        str, typer.Option(metavar="MODEL=SIZE,...", help="Sizes of models whose names do not tell.", rich_help_panel=PRICES)
    ] = "",
    gpu_hour: Annotated[
        float, typer.Option(metavar="DOLLARS", min=0, help="Price of a device's hour.", rich_help_panel=PRICES)
    ] = 0.0,
    assume: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Set an assumption, as verified=0.3 or verified=0.1:0.3:0.9 (low, expected, high). Repeatable.",
            rich_help_panel=PRICES,
        ),
    ] = None,
) -> None:
    """Start a run. Prints its id, and waits until its models proved to be there. With --dry-run: what it will cost."""
    try:
        file = RecipeFile(recipe, changes or [])
    except BadRecipe as error:
        stop(str(error), REFUSED)
    named = partial(named_in, file)
    asked: dict[str, object] = {"--json": as_json, "--device": device, "--throughput": throughput, "--parameters": parameters}
    asked |= {"--gpu-hour": gpu_hour, "--assume": assume}
    if dry_run:
        if watch_it:
            stop("--watch: a dry run starts nothing that could be watched", REFUSED)
        show_price(file, named, Wishes(device, throughput, parameters, gpu_hour, assume or []), as_json)
        return
    if idle := [option for option, value in asked.items() if value]:
        stop(f"{idle[0]}: goes with --dry-run", REFUSED)
    with gateway() as client:
        run_id = post(client, file.body, named)
        print(run_id, flush=True)
        status = begun(client, run_id)
        if status["state"] == "rejected":
            stop(rejection(file, status), REFUSED)
        raise typer.Exit(attend(client, run_id) if watch_it else finish(client, status))


def attend(client: Client, run_id: str) -> int:
    """Shows a run until it ends; returns the exit code. Ctrl-C leaves it going."""
    try:
        return finish(client, watch(client, run_id))
    except KeyboardInterrupt:
        leave(run_id)


def leave(run_id: str) -> NoReturn:
    """Ends the command, but not the run."""
    say(f"\nThe run goes on. Watch it with `longthought status {run_id} --watch`, end it with `longthought cancel {run_id}`.")
    raise typer.Exit(INTERRUPTED)


def named_in(file: RecipeFile, fault: dict[str, Any]) -> str:
    """A fault with its file and line, or the `--set` that made it."""
    return f"{file.source(fault.get('place', ''))}: {place_and_message(fault)}"


def place_and_message(fault: dict[str, Any]) -> str:
    """`stages.search.width: must be at least 2 (got 1)`."""
    return f"{fault['place']}: {fault['message']}" if fault.get("place") else str(fault["message"])


def post(client: Client, recipe: dict[str, Any], named: Callable[[dict[str, Any]], str] = place_and_message) -> str:
    """Posts a recipe; returns the run's id. A refused one ends the command, with each fault as `named` says it."""
    try:
        return client.post_run(recipe, idempotency_key=uuid.uuid4().hex)
    except ApiError as error:
        if not error.errors:
            raise
        stop("\n".join(map(named, error.errors)), REFUSED)


def begun(client: Client, run_id: str) -> Status:
    """How a run stands once its models proved to be there, or not. Ctrl-C leaves it going."""
    try:
        return wait_for_preflight(client, run_id)
    except KeyboardInterrupt:
        leave(run_id)


def rejection(file: RecipeFile, status: Status) -> str:
    """Why a run was rejected, with the line of the model that was not there."""
    reason = status["reason"] or "rejected"
    place = reason.partition(": ")[0]
    source = file.source(place) if " " not in place else str(file.path)
    return f"{source}: {reason}"


def finish(client: Client, status: Status) -> int:
    """Says how a run ended, with the errors of dead items; returns the exit code. A run that goes on is no matter: 0."""
    state, run_id = status["state"], status["id"]
    if state not in EXIT:
        say(f"Running. Watch it with `longthought status {run_id} --watch`.")
        return DONE
    took = clock(status["created_at"], status["ended_at"], time.time())
    say(f"{run_id}: {state} after {took}.", error=EXIT[state] != DONE)
    if status["reason"] and state != "cancelled":
        say(status["reason"], error=True)
    show_dead(client, status)
    if state == "done":
        say(f"See `longthought report {run_id}`.")
    return EXIT[state]


def show_dead(client: Client, status: Status) -> None:
    """The errors of the first dead items, on stderr."""
    dead = sum(stage["dead"] for stage in status["stages"].values())
    if not dead:
        return
    for item, _ in zip(client.items(status["id"], state="dead"), range(SHOWN_ERRORS), strict=False):
        if item["error"] not in (status["reason"] or ""):
            say(f"dead: {item['stage']}/{item['key']}: {item['error']}", error=True)
    if dead > SHOWN_ERRORS:
        say(f"... and {dead - SHOWN_ERRORS} more dead items", error=True)


def list_runs(limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20, as_json: JsonOption = False) -> None:
    """List runs, newest first."""
    with gateway() as client:
        found = [row for row, _ in zip(client.runs(), range(limit), strict=False)]
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("run", "state", "started", "took", ""):
        table.add_column(title, overflow="fold" if not title else "ellipsis", no_wrap=bool(title))
    for row in found:
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["created_at"]))
        took = clock(row["created_at"], row["ended_at"], time.time())
        table.add_row(row["id"], state_text(row["state"]), started, took, Text(row["reason"] or "", style="dim"))
    out.print(table if found else "No runs yet: `longthought run recipes/quickstart.yaml --watch` starts one.")


def status(run_id: RunArgument, as_json: JsonOption = False, watch_it: WatchOption = False) -> None:
    """Show how a run stands."""
    with gateway() as client:
        if watch_it:
            raise typer.Exit(attend(client, run_id))
        found = client.run(run_id)
        if as_json:
            stages = {name: {key: stage[key] for key in STAGE} for name, stage in found["stages"].items()}
            print(json.dumps({"id": found["id"], "state": found["state"], "stages": stages, "usage": found["usage"]}))
            return
        out.print(Board(found))
        show_dead(client, found)


def cancel(run_id: RunArgument) -> None:
    """End a run; what it has done stays."""
    with gateway() as client:
        say(f"{run_id}: {client.cancel(run_id)['state']}")


def pause(run_id: RunArgument) -> None:
    """Take a run's work back from the workers, at no loss."""
    with gateway() as client:
        say(f"{run_id}: {client.pause(run_id)['state']}")


def resume(
    run_id: RunArgument,
    spend_cap: Annotated[
        float | None, typer.Option(metavar="DOLLARS", min=0, help="What the run may spend from now on, in all.", show_default=False)
    ] = None,
) -> None:
    """Let a paused run go on."""
    with gateway() as client:
        say(f"{run_id}: {client.resume(run_id, spend_cap)['state']}")
