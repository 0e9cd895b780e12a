"""The search as its users run it: gateway, conductor, queue, worker and engine from `longthought up`, on a folder of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import func, select

from services.cli.folder import Folder, free_port
from shared.client import Client
from shared.ledger.database import Ledger
from shared.ledger.records import iterate_records
from shared.ledger.tables import items, usage

STAGE = "trees"
LOOK_SECONDS = 5.0


@dataclass
class Searched:
    """One run of the search through the queue."""

    problems: int
    seconds: float
    """From the first item's start to the last one's end: the engine runs already, as in the other ways."""
    tokens: int
    """Sampled, as the ledger has it."""
    requests: list[dict[str, Any]]
    """What the engine was asked for steps, in order of asking."""
    trees: list[dict[str, Any]]
    hit_rate: float | None
    """Share of prompt tokens that the engine found in its prefix cache; None if it does not tell."""
    memory: list[tuple[int, float]] = field(default_factory=list)
    """(problems done, MiB of the worker's own process)."""
    cpu: dict[str, float] = field(default_factory=dict)
    """Seconds of CPU time that each part took while the search ran."""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def problems_per_minute(self) -> float:
        return 60 * self.problems / self.seconds


def search(folder: Path, recipe: dict[str, Any], in_flight: int) -> Searched:
    """Starts everything with `in_flight` slots, runs the recipe, stops everything. Raises RuntimeError unless it ends well."""
    requests = folder / "requests.jsonl"
    environment = {**os.environ, "LONGTHOUGHT_SLOTS": str(in_flight), "LONGTHOUGHT_WINDOW": str(2 * in_flight)}
    environment["LONGTHOUGHT_ENGINE_REQUESTS"] = str(requests)
    program = [sys.executable, "-m", "services.cli.main"]
    folder.mkdir(parents=True)
    up = [*program, "up", "--data", str(folder), "--port", str(free_port(8000)), "--detach"]
    subprocess.run(up, env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        return _run(folder, recipe, requests)
    finally:
        subprocess.run([*program, "down", "--data", str(folder)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _run(folder: Path, recipe: dict[str, Any], requests: Path) -> Searched:
    here = Folder(folder)
    memory: list[tuple[int, float]] = []
    before: dict[str, float] = {}
    with Client(here.state()["url"], here.key()) as gateway:
        run_id = gateway.post_run(recipe)
        for state in gateway.watch(run_id, LOOK_SECONDS):
            memory.append((state["stages"].get(STAGE, {}).get("done", 0), _memory(here)))
            if state["state"] == "running" and not before:
                before = _cpu(here)
        after = _cpu(here)
    if state["state"] != "done":
        raise RuntimeError(f"the run ended as {state['state']}: {state['reason']}")
    cpu = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    return _read(folder, run_id, requests, _hit_rate(here), memory, cpu)


def _read(
    folder: Path, run_id: str, requests: Path, hit_rate: float | None, memory: list[tuple[int, float]], cpu: dict[str, float]
) -> Searched:
    ledger = Ledger(f"sqlite:///{folder}/ledger.db")
    with ledger.read() as connection:
        mine = (items.c.run_id == run_id, items.c.stage == STAGE)
        first, last, n = connection.execute(
            select(func.min(items.c.started_at), func.max(items.c.ended_at), func.count()).where(*mine)
        ).one()
        tokens = connection.execute(
            select(func.sum(usage.c.completion_tokens)).where(usage.c.run_id == run_id, usage.c.stage == STAGE)
        ).scalar_one()
    trees = list(iterate_records(ledger, run_id, STAGE, "tree"))
    asked = [
        line["body"] for line in map(json.loads, requests.read_text().splitlines()) if line["address"].endswith("/v1/completions")
    ]
    return Searched(n, last - first, tokens, asked, trees, hit_rate, memory, cpu)


def _memory(here: Folder) -> float:
    """MiB that the worker's own process holds."""
    return psutil.Process(here.state()["parts"]["engine-worker"]["pid"]).memory_info().rss / 2**20


def _cpu(here: Folder) -> dict[str, float]:
    """Seconds of CPU time so far: of each part's own process, and of the engine below the worker."""
    found = {}
    for name, part in here.state()["parts"].items():
        process = psutil.Process(part["pid"])
        found[name] = _seconds(process)
        if name == "engine-worker":
            found["engine"] = sum(map(_seconds, process.children(recursive=True)))
    return found


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _hit_rate(here: Folder) -> float | None:
    """From the engine's own counters: the name of its log, `engine-PID-PORT.log`, has its port."""
    (log,) = here.logs.glob("engine-*-*.log")
    counted = dict(line.rpartition(" ")[::2] for line in _metrics(int(log.stem.rsplit("-", 1)[1])))
    if not counted:
        return None
    by_name = {name.partition("{")[0]: float(value) for name, value in counted.items()}
    return by_name["vllm:prefix_cache_hits_total"] / by_name["vllm:prefix_cache_queries_total"]


def _metrics(port: int) -> Iterator[str]:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    return (line for line in text.splitlines() if line.startswith("vllm:prefix_cache"))
