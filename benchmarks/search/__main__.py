"""`make bench-search`: how much of the engine the search gets out, and how it compares with lock-step.

One after another, each from cold caches, with the same model, engine settings, problems and sampling:

- (a) the engine's own limit: `LLM.generate` offline on the very prompts that the search sent, all at once;
- (b) the search through gateway, queue, worker and server, with 8, 32 and 64 problems in flight;
- (c) lock-step, one problem at a time and over full batches.

Then (b) over many more problems (`--flat`), whose time per problem shall be the same; (b) on transformers in vLLM's place
(`--other`); and the worker's memory over many small problems (`--memory`).

Beam search, w=4, K=2, D=6; the reward does sums and asks no model. The last line is JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.search.stack import STAGE, Searched, search
from shared.problems.generate import generate

out = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Measures what was asked for and prints it."""
    parser = argparse.ArgumentParser(prog="make bench-search ARGS=...", description="The search against its limits.")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--in-flight", type=int, nargs="*", default=[8, 32, 64])
    parser.add_argument("--problems", type=int, default=128, help="problems of (a), (b) and of (c) in full batches")
    parser.add_argument("--alone", type=int, default=8, help="problems of (c) one at a time")
    parser.add_argument("--flat", type=int, default=512, help="problems of the long run; 0: none")
    parser.add_argument("--memory", type=int, default=2000, help="small problems of the memory run; 0: none")
    parser.add_argument("--other", type=int, default=32, help="problems of the run on the engine transformers; 0: none")
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--keep", type=Path, help="keep the runs' folders here")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-search-") as scratch:
        figures = measure(chosen, chosen.keep or Path(scratch))
    print(json.dumps(figures))


def measure(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures, printed as they come."""
    figures: dict[str, Any] = {"model": chosen.model, "problems": chosen.problems}
    runs = {n: say(f"(b) {n} in flight", search(folder / f"b{n}", recipe(chosen, chosen.problems), n)) for n in chosen.in_flight}
    if runs:
        figures |= limit(chosen, folder, runs)
        figures |= lockstep(chosen, folder, runs[max(runs)])
    if chosen.flat:
        figures |= flat(chosen, folder)
    if chosen.other:
        figures |= other_engine(chosen, folder)
    if chosen.memory:
        figures |= memory(chosen, folder)
    return figures


def recipe(chosen: argparse.Namespace, problems: int, **smaller: Any) -> dict[str, Any]:
    """The search of (b)."""
    sampling = {"temperature": 0.9, "max_tokens": chosen.max_tokens}
    stage = {"width": 4, "keep": 2, "max_depth": 6, "retries": 0, "reward": {"kind": "arithmetic"}, "sampling": sampling, **smaller}
    return {
        "name": "bench-search",
        "models": {"policy": {"model": chosen.model, "max_model_len": 2048}},
        "problems": {"searched": {"generator": "arithmetic", "seed": 11, "count": problems}},
        "stages": {STAGE: {"kind": "search", "problems": "searched", "policy": "policy", **stage}},
    }


def say(name: str, run: Searched) -> Searched:
    """Prints one run of the search."""
    out.print(
        f"{name}: {run.problems} problems in {run.seconds:.1f} s, {run.tokens} tokens, {run.tokens_per_second:.1f} tokens/s, "
        f"{run.problems_per_minute:.2f} problems/min, {len(run.requests)} requests, prefix cache hits {share(run.hit_rate)}"
    )
    shares = sorted(run.cpu.items(), key=lambda one: -one[1])
    out.print("    CPU seconds: " + ", ".join(f"{part} {seconds:.1f}" for part, seconds in shares if seconds >= 0.1))
    return run


def share(part: float | None) -> str:
    """A share as people read it; a dash for one that the engine does not tell."""
    return "-" if part is None else f"{part:.1%}"


def offline(way: str, folder: Path, job: dict[str, Any]) -> Any:
    """Runs offline.py in a process of its own; returns what it measured."""
    job_file, result = folder / f"{way}.json", folder / f"{way}.result.json"
    job_file.write_text(json.dumps(job))
    log = folder / f"{way}.log"
    with log.open("wb") as sink:
        code = subprocess.run(
            [sys.executable, "-m", "benchmarks.search.offline", way, str(job_file), str(result)], stdout=sink, stderr=sink
        ).returncode
    if code:
        raise RuntimeError(f"offline {way} ended with code {code}:\n{log.read_text()[-3000:]}")
    return json.loads(result.read_text())


def limit(chosen: argparse.Namespace, folder: Path, runs: dict[int, Searched]) -> dict[str, Any]:
    """(a), on the requests of the run with most problems in flight, and the ratios b/a."""
    requests = folder / "limit.jsonl"
    requests.write_text("".join(json.dumps(body) + "\n" for body in runs[max(runs)].requests))
    found = offline("limit", folder, {"model": chosen.model, "max_model_len": 2048, "requests": str(requests)})
    most = found["tokens"] / found["seconds"]
    out.print(f"(a) the engine's limit: {found['tokens']} tokens in {found['seconds']:.1f} s, {most:.1f} tokens/s")
    table = Table(
        "in flight",
        "tokens/s",
        "of the limit",
        "problems/min",
        "prefix hits",
        title="The search (b) against the engine's limit (a)",
    )
    figures: dict[str, Any] = {"limit_tokens_per_second": most}
    for n, run in runs.items():
        figures[f"ratio_{n}"] = run.tokens_per_second / most
        figures[f"tokens_per_second_{n}"] = run.tokens_per_second
        figures[f"problems_per_minute_{n}"] = run.problems_per_minute
        figures[f"prefix_hit_rate_{n}"] = run.hit_rate
        table.add_row(
            str(n),
            f"{run.tokens_per_second:.1f}",
            f"{run.tokens_per_second / most:.3f}",
            f"{run.problems_per_minute:.2f}",
            share(run.hit_rate),
        )
    out.print(table)
    return figures


def lockstep(chosen: argparse.Namespace, folder: Path, best: Searched) -> dict[str, Any]:
    """(c), and how the search compares."""
    problems = [{"question": one.question, "answer": one.answer} for one in generate("arithmetic", 11, 0, chosen.problems)]
    sampling = {
        "temperature": 0.9,
        "top_p": 1.0,
        "max_tokens": chosen.max_tokens,
        "stop": ["\n"],
        "include_stop_str_in_output": True,
        "stop_token_ids": best.requests[0]["stop_token_ids"],  # as the search asks
        "min_tokens": 1,
    }
    job = {"model": chosen.model, "max_model_len": 2048, "width": 4, "keep": 2, "depth": 6, "sampling": sampling}
    figures: dict[str, Any] = {}
    for name, batch, part in (("alone", 1, problems[: chosen.alone]), ("batch", 64, problems)):
        (found,) = offline("lockstep", folder, {**job, "problems": part, "batches": [batch]})
        speed = 60 * found["problems"] / found["seconds"]
        out.print(
            f"(c) lock-step, {batch} at a time: {found['problems']} problems in {found['seconds']:.1f} s, "
            f"{found['tokens'] / found['seconds']:.1f} tokens/s, {speed:.2f} problems/min; "
            f"the search does {best.problems_per_minute / speed:.2f} times as many"
        )
        figures[f"lockstep_{name}_problems_per_minute"] = speed
        figures[f"lockstep_{name}_tokens_per_second"] = found["tokens"] / found["seconds"]
        figures[f"lockstep_{name}_times"] = best.problems_per_minute / speed
    return figures


def flat(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds a problem, at 64 in flight, for 64 problems and for many more."""
    few = say("(b) 64 problems", search(folder / "flat-64", recipe(chosen, 64), 64))
    many = say(f"(b) {chosen.flat} problems", search(folder / "flat-many", recipe(chosen, chosen.flat), 64))
    few_each, many_each = few.seconds / few.problems, many.seconds / many.problems
    out.print(f"seconds a problem: {few_each:.3f} with 64 problems, {many_each:.3f} with {chosen.flat}")
    return {"flat_64_seconds_per_problem": few_each, f"flat_{chosen.flat}_seconds_per_problem": many_each}


def other_engine(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """(b) on transformers' server, in vLLM's place."""
    there = recipe(chosen, chosen.other)
    there["models"]["policy"]["engine"] = "transformers"
    run = say(f"(b) on transformers, 32 in flight, {chosen.other} problems", search(folder / "transformers", there, 32))
    return {"transformers_tokens_per_second": run.tokens_per_second, "transformers_problems_per_minute": run.problems_per_minute}


def memory(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The worker's own memory over many problems with small trees."""
    small = recipe(chosen, chosen.memory, width=2, keep=1, max_depth=2)
    run = say(f"memory: {chosen.memory} small problems", search(folder / "memory", small, 64))
    marks = [max(mib for done, mib in run.memory if done <= share * chosen.memory) for share in (0.25, 0.5, 0.75, 1.0)]
    out.print("the worker's memory after each quarter, MiB: " + ", ".join(f"{mib:.0f}" for mib in marks))
    return {"memory_mib_quarters": [round(mib, 1) for mib in marks], "memory_problems": run.problems}


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
