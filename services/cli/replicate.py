"""`make replicate`: Part 1 of the reports in small, from nothing to docs/replication.md. Interrupted, it goes on where it was.

Everything lives in one data folder: a run of the recipe that is there and not ended is taken up again, one that is done is only
written up.
"""

import argparse
import importlib.metadata
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import typer
import yaml

from services.cli.connect import gateway
from services.cli.demo import command, interrupt
from services.cli.dry_run import Wishes, known, quote
from services.cli.folder import Folder, free_port
from services.cli.recipe_file import BadRecipe, RecipeFile
from services.cli.replication import FINAL, TITLES, document
from services.cli.replication_scale import enlarged
from services.cli.runs import named_in
from services.cli.terminal import FAILED, INTERRUPTED, say
from shared.client import ENDED, Client
from shared.gpus import visible_gpus

ROOMY = 20
"""GiB of memory that two trainings of SmolLM2-135M, or two engines, take well."""


def main() -> int:
    """Returns the exit code: 0 if the run is done and written up (with `--page`: written up)."""
    chosen = arguments()
    signal.signal(signal.SIGTERM, interrupt)
    folder = Folder(chosen.data)
    running = folder.holder() is not None
    if running and not chosen.page:
        say(f"`longthought up` runs on {chosen.data} already: stop it with `longthought down --data {chosen.data}`.", error=True)
        return 2
    try:
        if not running:
            port = str(free_port(8000))
            if code := command("up", "--data", str(chosen.data), "--port", port, "--devices", str(chosen.devices), "--detach"):
                return code
        os.environ |= {"LONGTHOUGHT_URL": folder.state()["url"], "LONGTHOUGHT_API_KEY": folder.key()}
        return write_page(chosen) if chosen.page else replicate(chosen)
    except BadRecipe as error:
        say(str(error), error=True)
        return 2
    except typer.Exit as ended:  # the gateway did not do it; `gateway` has said why
        return ended.exit_code
    except KeyboardInterrupt:
        say("\nInterrupted: the same command goes on from here.", error=True)
        return INTERRUPTED
    finally:
        if not running:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            command("down", "--data", str(chosen.data))


def arguments() -> argparse.Namespace:
    """The command line's."""
    parser = argparse.ArgumentParser(prog="python -m services.cli.replicate", description="Part 1 of the reports in small.")
    parser.add_argument("--scale", choices=TITLES, default="laptop", help="`gpu`: more problems, samples and seeds")
    parser.add_argument("--data", type=Path, help="data folder (default: replication, replication-gpu)")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/replicate.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change the recipe (of a new run)")
    parser.add_argument("--devices", type=int, default=fitting(), help="trainings, or engines, at a time (here: %(default)s)")
    parser.add_argument("--document", type=Path, help="the page (default: docs/replication.md, docs/replication-gpu.md)")
    parser.add_argument("--page", action="store_true", help="only write the page, of what is there by now")
    chosen = parser.parse_args()
    if chosen.scale == "gpu" and not chosen.page and (missing := no_gpu()):
        parser.error(f"--scale gpu: {missing}")
    name = "replication" if chosen.scale == "laptop" else f"replication-{chosen.scale}"
    chosen.data = chosen.data or Path(name)
    chosen.document = chosen.document or Path("docs") / f"{name}.md"
    return chosen


def no_gpu() -> str | None:
    """Why nothing would run on a GPU here; None if it would."""
    if not visible_gpus():
        return "this machine shows no NVIDIA GPU (/dev/nvidia0 ..., CUDA_VISIBLE_DEVICES)"
    torch = importlib.metadata.version("torch")
    return f"torch {torch} is a build for CPUs: `make replicate SCALE=gpu` sets up another environment" if "+cpu" in torch else None


def fitting() -> int:
    """Two devices where there are two cores or more, no GPU, and memory for two trainings at a time."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return 2 if len(os.sched_getaffinity(0)) >= 2 and gib >= ROOMY and not visible_gpus() else 1


def replicate(chosen: argparse.Namespace) -> int:
    """Brings the run to its end, and writes the page; returns the exit code."""
    with gateway() as client:
        found = unended(client, name_of(chosen))
        if found is None and (ended := next(runs_of(client, name_of(chosen)), None)):
            say(
                f"{ended['id']} {ended['state']}{': ' + ended['reason'] if ended['reason'] else ''}. A new run begins from nothing."
            )
        elif found is not None and found["state"] == "paused":
            client.resume(str(found["id"]))
    if found is not None:
        say(f"{found['id']} is there already ({found['state']}): going on with it.")
        if found["state"] not in ENDED:
            command("status", str(found["id"]), "--watch")
    else:
        recipe = [str(chosen.recipe), *(word for change in chosen.set for word in ("--set", change))]
        if chosen.scale == "gpu":
            body = enlarged(RecipeFile(chosen.recipe, chosen.set).body)
            sized = chosen.data / "recipe.yaml"
            sized.write_text(yaml.safe_dump(body, sort_keys=False, width=120))
            recipe = [str(sized)]
        else:
            say(expected(RecipeFile(chosen.recipe, chosen.set)))
        if code := command("run", *recipe, "--watch"):
            return code
    return write_page(chosen)


def expected(file: RecipeFile) -> str:
    """How long a run of the recipe will take, in a sentence."""
    found = quote(*known(file, partial(named_in, file)), Wishes())
    hours = found.price.device_hours.expected
    return f"About {hours:.1f} hours on two cores of this kind, as its --dry-run reckons. Interrupted, the same command goes on."


def write_page(chosen: argparse.Namespace) -> int:
    """Writes what there is of the folder's run; returns the exit code, 0 if all of it is there or was not asked for."""
    with gateway() as client:
        name = name_of(chosen)
        found = unended(client, name)
        if found is None:
            ended = "".join(f"\n{run['id']}: {run['state']}: {run['reason'] or 'no reason given'}" for run in runs_of(client, name))
            say(f"{chosen.data} holds no run of `{name}` that is done or may still be.{ended}", error=True)
            return 1
        target: Path = chosen.document
        before = target.read_text(encoding="utf-8") if target.exists() else ""
        partial = target.with_name(f"{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            pictures = fetch_pictures(client, str(found["id"]), target.with_suffix(""))
            partial.write_text(document(client, str(found["id"]), chosen.scale, before, pictures), encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            say(f"{target} could not be written, and is as it was: {error}", error=True)
            return FAILED
    say(f"{target} is written.")
    return 0 if chosen.page or found["state"] == "done" else 1


def fetch_pictures(client: Client, run: str, folder: Path) -> dict[str, str]:
    """The budget curves of the held-out sets, brought into `folder`: where each stage's lies, as seen from beside the folder."""
    curves = [plot for plot in client.report(run)["plots"] if plot["kind"] == "curves_plot" and plot["stage"].startswith(FINAL)]
    for plot in curves:
        client.download_file(run, plot["file"], folder / f"{plot['stage']}.png")
    return {plot["stage"]: f"{folder.name}/{plot['stage']}.png" for plot in curves}


def name_of(chosen: argparse.Namespace) -> str:
    """The recipe's name, which its runs bear: the folder may hold runs of other recipes, regradings among them."""
    return str(RecipeFile(chosen.recipe, chosen.set).body.get("name"))


def runs_of(client: Client, name: str) -> Iterator[Mapping[str, Any]]:
    """The folder's runs of a recipe, newest first."""
    return (run for run in client.runs() if run["name"] == name)


def unended(client: Client, name: str) -> Mapping[str, Any] | None:
    """The newest of them that is done or may still be."""
    return next((run for run in runs_of(client, name) if run["state"] == "done" or run["state"] not in ENDED), None)


if __name__ == "__main__":
    sys.exit(main())
