"""`make bench-compile`: trees a second from the ledger through traversal, template, checks and records to the dataset's files.

Everything but the model is real: a ledger (SQLite) with the trees in it, the stage's own items of 200 trees, claimed, worked and
committed one after the other in one process (so: on one core, but for what SQLite's threads do), then the closing item that
exports. Only this is timed, not the making of the trees. Each size runs in a process of its own, whose peak memory is told.
The last line is JSON.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice

from benchmarks.compile.forest import trees

BAR_TREES = 300.0
BAR_MIB = 1024.0
RECIPE = {
    "name": "bench",
    "models": {"policy": {"model": "none"}},
    "problems": {"train": {"generator": "arithmetic", "count": 1}},
    "stages": {
        "search": {"kind": "search", "problems": "train", "policy": "policy"},
        "compile": {"kind": "compile", "trees": "search", "test_share": 0.05},
    },
}


def main() -> None:
    """Each size in a child; the table, and the last line as JSON."""
    parser = argparse.ArgumentParser(description="How fast trees become a dataset.")
    parser.add_argument("--trees", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--nodes", type=int, default=40)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(asyncio.run(measure(arguments.one, arguments.nodes))))
        return
    found = {}
    for count in arguments.trees:
        with tempfile.TemporaryDirectory(prefix="longthought-bench-") as folder:
            env = {**os.environ, "LONGTHOUGHT_ARTIFACTS_URL": f"file://{folder}/artifacts", "LONGTHOUGHT_LOG_LEVEL": "warning"}
            command = [sys.executable, "-m", "benchmarks.compile", "--one", str(count), "--nodes", str(arguments.nodes)]
            child = subprocess.run(command, env={**env, "BENCH_FOLDER": folder}, stdout=subprocess.PIPE, text=True, check=True)
        found[str(count)] = figures = json.loads(child.stdout.splitlines()[-1])
        print(
            f"{count:>7,} trees of {arguments.nodes} nodes: {figures['trees_per_second']:.0f} trees/s "
            f"(ms a tree: {figures['items_ms']:.2f} in items, {figures['export_ms']:.2f} in the export), "
            f"peak {figures['peak_mib']:.0f} MiB, {figures['thoughts']:,} thoughts"
        )
    met = all(one["trees_per_second"] >= BAR_TREES and one["peak_mib"] <= BAR_MIB for one in found.values())
    print(json.dumps({"bar_trees_per_second": BAR_TREES, "bar_peak_mib": BAR_MIB, "met": met, "sizes": found}))


async def measure(count: int, size: int) -> dict[str, float]:
    """One size, from an empty ledger on."""
    from services.compiler.tasks import compile_item
    from services.conductor.plan import COMPILE_TREES, plan_stage
    from shared.contracts.recipe import Recipe
    from shared.ledger.database import Ledger
    from shared.ledger.items import NewItem, NewRecord, Result, claim, commit, item_name
    from shared.ledger.opening import open_stage
    from shared.ledger.records import count_records
    from shared.ledger.runs import NewStage, create_run, move_run
    from shared.ledger.tables import RunState
    from shared.work.context import Work

    ledger = Ledger(f"sqlite:///{os.environ['BENCH_FOLDER']}/ledger.db")
    ledger.migrate()
    recipe = Recipe.model_validate(RECIPE)
    stages = [NewStage(name, recipe.stages[name].kind, recipe.needs(name)) for name in recipe.order()]
    run_id, _ = create_run(ledger, "bench", recipe.model_dump(mode="json"), stages)
    move_run(ledger, run_id, RunState.CHECKING, RunState.RUNNING)
    forest = trees(count, size)
    keys = [f"{first:06}" for first in range(0, count, COMPILE_TREES)]
    open_stage(ledger, run_id, "search", [NewItem(key, "searcher", {}) for key in keys])
    for key in keys:
        lease = claim(ledger, item_name(run_id, "search", key), "bench", 3600)
        assert lease is not None
        grown = islice(forest, COMPILE_TREES)
        commit(ledger, lease, Result([NewRecord("tree", tree.problem.id, tree.model_dump(mode="json")) for tree in grown]))
    items = plan_stage(ledger, run_id, recipe, "compile")
    open_stage(ledger, run_id, "compile", items)
    spent = [0.0, 0.0]
    began = time.perf_counter()
    for item in items:
        since = time.perf_counter()
        lease = claim(ledger, item_name(run_id, "compile", item.key), "bench", 3600)
        assert lease is not None
        commit(ledger, lease, await compile_item(Work(ledger, lease, recipe, None, "bench")))  # type: ignore[arg-type]  # no model
        spent[item.phase] += time.perf_counter() - since
    seconds = time.perf_counter() - began
    counts = count_records(ledger, run_id)
    assert counts["compile", "dataset"] == 1
    return {
        "trees_per_second": count / seconds,
        "milliseconds_per_tree": 1000 * seconds / count,
        "items_ms": 1000 * spent[0] / count,
        "export_ms": 1000 * spent[1] / count,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "thoughts": counts["compile", "thought"],
    }


if __name__ == "__main__":
    main()
