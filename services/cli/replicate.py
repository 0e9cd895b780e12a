"""`make replicate`: Part 1 of the reports in small, from nothing to docs/replication.md. Interrupted, it goes on where it was.

Everything lives in one data folder: a run of the recipe that is there and not ended is taken up again, one that is done is only
written up.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.cli.connect import gateway
from services.cli.demo import command, interrupt, longthought
from services.cli.folder import Folder, free_port
from services.cli.replication import document
from services.cli.terminal import INTERRUPTED, say
from shared.client import ENDED, Client

ROOMY = 15
"""GiB of memory that two trainings of SmolLM2-135M, or two engines, take well."""


def main() -> int:
    """Returns the exit code: 0 if the run is done and written up."""
    parser = argparse.ArgumentParser(prog="python -m services.cli.replicate", description="Part 1 of the reports in small.")
    parser.add_argument("--data", type=Path, default=Path("replication"), help="data folder (default: replication)")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/replicate.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change the recipe (of a new run)")
    parser.add_argument("--devices", type=int, default=fitting(), help="trainings, or engines, at a time (here: %(default)s)")
    parser.add_argument("--document", type=Path, default=Path("docs/replication.md"))
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupt)
    folder = Folder(chosen.data)
    if folder.holder() is not None:
        say(f"`longthought up` runs on {chosen.data} already: stop it with `longthought down --data {chosen.data}`.", error=True)
        return 2
    try:
        changes = [word for change in chosen.set for word in ("--set", change)]
        return replicate(folder, chosen.data, chosen.devices, [str(chosen.recipe), *changes], chosen.document)
    except KeyboardInterrupt:
        say("\nInterrupted: the same command goes on from here.", error=True)
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        command("down", "--data", str(chosen.data))


def fitting() -> int:
    """Two devices where there are two cores or more, and memory for two trainings at a time."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return 2 if len(os.sched_getaffinity(0)) >= 2 and gib >= ROOMY and not Path("/dev/nvidiactl").exists() else 1


def replicate(folder: Folder, data: Path, devices: int, recipe: list[str], target: Path) -> int:
    """Starts everything, brings the run to its end, writes the document; returns the exit code."""
    if code := command("up", "--data", str(data), "--port", str(free_port(8000)), "--devices", str(devices), "--detach"):
        return code
    state = folder.state()
    os.environ |= {"LONGTHOUGHT_URL": state["url"], "LONGTHOUGHT_API_KEY": folder.key()}
    with gateway() as client:
        found = unended(client)
    if found is not None:
        say(f"{found['id']} is there already ({found['state']}): going on with it.")
        run = str(found["id"])
        if found["state"] not in ENDED:
            command("status", run, "--watch")
    else:
        posted = subprocess.run(longthought("run", *recipe, "--watch"), stdout=subprocess.PIPE, text=True, check=False)
        run = posted.stdout.strip()
        if posted.returncode:
            return posted.returncode
    with gateway() as client:
        ended = client.run(run)
        if ended["state"] != "done":
            say(f"{run} is {ended['state']}: {ended.get('reason') or 'its stages say why'}", error=True)
            return 1
        target.write_text(document(client, run), encoding="utf-8")
    say(f"{target} is written.")
    return 0


def unended(client: Client) -> Mapping[str, Any] | None:
    """The newest run of the folder that is done or may still be."""
    return next((run for run in client.runs() if run["state"] == "done" or run["state"] not in ENDED), None)


if __name__ == "__main__":
    sys.exit(main())
