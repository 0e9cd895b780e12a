"""`longthought up` and `longthought down`: everything on one machine, from embedded parts."""

import asyncio
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.panel import Panel
from rich.table import Table

from services.cli import watchdog
from services.cli.devices import devices as split
from services.cli.folder import Folder, free_port, port_is_free
from services.cli.parts import common_env, parts
from services.cli.supervisor import Part, Supervisor, python
from services.cli.terminal import FAILED, REFUSED, local, out, say

HOPELESS_AFTER = 3
"""Deaths in a row of one part, while all start, that end the attempt."""
START_SECONDS = 180.0
DOWN_SECONDS = 660.0
"""A training may save for minutes (`parts.TRAINER_GRACE`)."""

DataOption = Annotated[Path, typer.Option("--data", metavar="DIR", help="Folder of the ledger, checkpoints and logs.")]


def up(
    data: DataOption,
    port: Annotated[int, typer.Option(help="The API's port on 127.0.0.1.", min=1, max=65535)] = 8000,
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything answers; `longthought down` stops it.")] = False,
    devices: Annotated[
        int, typer.Option(help="Engines and trainings at a time: one GPU, or an equal part of the cores, for each.", min=1, max=64)
    ] = 1,
    quiet: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Start everything on this machine: API, queues, workers, database. Ctrl-C stops it."""
    folder = Folder(data)
    if not port_is_free(port) and folder.holder() is None:
        say(f"Port {port} of 127.0.0.1 is taken: stop what listens there, or choose another with --port.", error=True)
        raise typer.Exit(REFUSED)
    try:
        split(devices)
    except ValueError as error:
        say(str(error), error=True)
        raise typer.Exit(REFUSED) from error
    code = start_detached(folder, data, port, devices) if detach else start_here(folder, data, port, devices, quiet)
    raise typer.Exit(code)


def down(data: DataOption) -> None:
    """Stop what `longthought up --data DIR` started, and wait until it is gone."""
    folder = Folder(data)
    pid = folder.holder()
    if pid is None:
        watchdog.kill_marked(folder.mark)
        say(f"Nothing runs on {data}.")
        return
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + DOWN_SECONDS
    while folder.holder() is not None:
        if time.monotonic() > until:
            say(f"`longthought up` (pid {pid}) did not stop within {DOWN_SECONDS:g} s: killed, with all its parts.", error=True)
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.1)
    watchdog.kill_marked(folder.mark)
    say(f"Stopped. What it made stays in {data}.")


def start_here(folder: Folder, data: Path, port: int, devices: int, quiet: bool) -> int:
    """Runs everything until a signal; returns the exit code."""
    other = folder.hold()
    if other is not None:
        return refuse(data, other)
    watchdog.kill_marked(folder.mark)  # what a killed `up` may have left a moment ago
    return asyncio.run(_run(folder, data, port, devices, quiet))


def start_detached(folder: Folder, data: Path, port: int, devices: int) -> int:
    """Starts another process that runs everything, and returns once all of it answers, or with what it said when it failed."""
    other = folder.holder()
    if other is not None:
        return refuse(data, other)
    folder.logs.mkdir(parents=True, exist_ok=True)
    log = folder.logs / "up.log"
    command = python("services.cli.main", "up", "--data", str(data), "--port", str(port), "--devices", str(devices), "--quiet")
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True)
    try:
        while process.poll() is None:
            state = folder.state()
            if state.get("pid") == process.pid and state["ready"]:
                out.print(panel(folder, data, state, foreground=False))
                return 0
            time.sleep(0.1)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        say("Stopped.", error=True)
        return 130
    say(log.read_text(errors="replace").rstrip(), error=True)
    return process.returncode or FAILED


def refuse(data: Path, pid: int) -> int:
    """Says that the folder is taken; returns the exit code."""
    say(
        f"`longthought up` runs on {data} already (pid {pid}): use it, or stop it with `longthought down --data {data}`.",
        error=True,
    )
    return REFUSED


async def _run(folder: Folder, data: Path, port: int, devices: int, quiet: bool) -> int:
    key = folder.key()
    url = f"http://127.0.0.1:{port}"
    valkey_port = free_port(6380, port)
    flower_port = free_port(5555, port, valkey_port)
    table = parts(folder, key, port, valkey_port, flower_port, split(devices))
    state: dict[str, Any] = {"pid": os.getpid(), "ready": False, "url": url, "flower": f"http://127.0.0.1:{flower_port}"}
    state["ports"] = {"gateway": port, "valkey": valkey_port, "flower": flower_port}

    def write_state() -> None:
        about = {
            part.name: {"pid": part.process.pid if part.process and part.running else None, "starts": part.starts} for part in table
        }
        folder.write_state({**state, "parts": about})

    mark = f"{folder.mark}{secrets.token_hex(4)}"
    supervisor = Supervisor(table, folder.logs, mark, common_env(folder, valkey_port), tell, write_state)
    stopping = _stop_on_signals(mark)
    write_state()
    folder.write_client_env(url, key)
    try:
        with out.status("Starting ...") if out.is_terminal and not quiet else nullcontext():
            failed = await _start(supervisor, stopping)
        if failed:
            say(failed, error=True)
        elif not stopping.is_set():
            state["ready"] = True
            write_state()
            if not quiet:
                out.print(panel(folder, data, state, foreground=True))
            await stopping.wait()
    finally:
        state["ready"] = False
        say("Stopping: workers give back what they hold ...")
        await supervisor.stop()
        say("Stopped.")
    return FAILED if failed else 0


async def _start(supervisor: Supervisor, stopping: asyncio.Event) -> str | None:
    """Starts all parts; returns None when they run (or a signal came), or why they do not, with the failing part's last words."""
    starting = asyncio.create_task(supervisor.start())
    until = time.monotonic() + START_SECONDS
    try:
        while not stopping.is_set():
            broken = [part for part in supervisor.parts if part.failures >= HOPELESS_AFTER]
            late = time.monotonic() > until
            if broken or late:
                part = broken[0] if broken else next(p for p in reversed(supervisor.parts) if p.starts)
                what = "keeps dying" if broken else f"does not answer after {START_SECONDS:g} s"
                return (
                    f"Part `{part.name}` {what}. The end of its log ({supervisor.log_path(part)}):\n\n{supervisor.log_tail(part)}\n"
                )
            done, _ = await asyncio.wait({starting}, timeout=0.2)
            if done:
                starting.result()
                return None
        return None
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)


def _stop_on_signals(mark: str) -> asyncio.Event:
    """An event set by Ctrl-C, SIGTERM or a closed terminal. A second signal kills everything at once."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            watchdog.kill_marked(mark)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return stopping


def tell(part: Part, what: str) -> None:
    """One line a happening, with the time."""
    say(f"[dim]{time.strftime('%H:%M:%S')}[/dim]  {part.name:<13} {what}")


def program() -> str:
    """What one types for `longthought`: its path, where the shell would not find it."""
    return "longthought" if shutil.which("longthought") else local(str(Path(sys.executable).parent / "longthought"))


def panel(folder: Folder, data: Path, state: dict[str, Any], foreground: bool) -> Panel:
    """Where everything is, and what to type next."""
    about = Table.grid(padding=(0, 2))
    about.add_column(style="bold cyan")
    about.add_column(overflow="fold")
    about.add_row("API", state["url"])
    about.add_row("Docs", f"{state['url']}/docs")
    about.add_row("Flower", state["flower"])
    about.add_row("API key", folder.key())
    about.add_row("Logs", f"{data}/logs")
    about.add_row()
    here = shlex.quote(str(data))
    about.add_row("Next", f"source {here}/client.env")
    about.add_row("", f"{program()} run recipes/quickstart.yaml --watch")
    about.add_row("Stop", "Ctrl-C" if foreground else f"{program()} down --data {here}")
    return Panel(
        about, title="[bold]longthought[/bold] is up", title_align="left", border_style="green", expand=False, padding=(1, 2)
    )
