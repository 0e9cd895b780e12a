"""A tiny recipe from beginning to end, and one that lives through the death of every part."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.contracts.thought import LongThought
from shared.contracts.tree import ReasoningTree
from tests.system.conftest import Stack

pytestmark = [pytest.mark.system, pytest.mark.engine, pytest.mark.timeout(1200)]

BASE = {"base": {"model": "smollm2-135m-instruct", "max_model_len": 1024}}

MEASURE = {"kind": "evaluate", "models": ["base"], "problems": "few"}


def few(skip: int, count: int) -> dict[str, Any]:
    return {"generator": "arithmetic", "seed": 5, "skip": skip, "count": count}


def test_a_tiny_recipe_goes_all_the_way(stack: Stack, tmp_path: Path) -> None:
    recipe = stack.recipe(
        tmp_path,
        name="tiny",
        models=BASE,
        problems={"train": few(0, 32), "search": few(100, 4), "heldout": few(200, 4)},
        stages={
            "worked": {"kind": "import", "problems": "train"},
            "policy": {"kind": "train", "base": "base", "data": "worked", "learning_rate": 2e-4, "max_length": 256},
            "trees": {
                "kind": "search", "policy": "policy", "problems": "search", "width": 3, "max_depth": 6,
                "sampling": {"max_tokens": 48},
            },
            "thoughts": {"kind": "compile", "trees": "trees"},
            "measure": {
                "kind": "evaluate", "models": ["base", "policy"], "problems": "heldout", "needs": ["thoughts"],
                "sampling": {"max_tokens": 96},
            },
        },
    )  # fmt: skip
    posted = stack.cli("run", str(recipe), "--watch")
    run = posted.stdout.strip()
    assert posted.stdout == f"{run}\n", "stdout carries the run's id alone"

    status = stack.status(run)
    assert status["state"] == "done"
    assert {name: (stage["done"], stage["dead"]) for name, stage in status["stages"].items() if name != "preflight"} == {
        "worked": (1, 0), "policy": (1, 0), "trees": (4, 0), "thoughts": (2, 0), "measure": (3, 0),
    }  # fmt: skip

    trees = [ReasoningTree.model_validate(record["body"]) for record in stack.records(run, "trees", "tree")]
    assert len({tree.problem.id for tree in trees}) == len(trees) == 4
    assert all(len(tree.nodes) > 1 and tree.cost.completion_tokens >= tree.tree_tokens > 0 for tree in trees)
    (dataset,) = [record["body"] for record in stack.records(run, "thoughts", "dataset")]
    thoughts = [LongThought.model_validate(record["body"]) for record in stack.records(run, "thoughts", "thought")]
    assert dataset["counts"].get("journey", 0) == len(thoughts)
    by_id = {tree.id: tree for tree in trees}
    for thought in thoughts:
        assert {span.node_id for span in thought.spans} <= {node.id for node in by_id[thought.tree_id].nodes}

    report = json.loads(stack.cli("report", run, "--json").stdout)
    assert set(report["models"]) == {"base", "policy"}
    for row in report["models"].values():
        assert row["n"] == 4 and row["avg_tokens"] > 0 and 0 <= row["pass_at_1"] <= 1
    stack.cli("export", run, str(tmp_path / "out"))
    assert any((tmp_path / "out").rglob("*.parquet")) or not thoughts
    assert any((tmp_path / "out").rglob("*.png"))


@pytest.mark.parametrize(("engine", "name"), [("vllm", "vllm "), ("transformers", "transformers ")])
def test_the_same_recipe_on_either_engine(stack: Stack, tmp_path: Path, engine: str, name: str) -> None:
    recipe = stack.recipe(
        tmp_path,
        name=f"on-{engine}",
        models={"base": {**BASE["base"], "engine": engine}},
        problems={"search": few(400, 3), "heldout": few(500, 2)},
        stages={
            "trees": {
                "kind": "search", "policy": "base", "problems": "search", "width": 3, "max_depth": 3,
                "sampling": {"max_tokens": 32},
            },
            "thoughts": {"kind": "compile", "trees": "trees"},
            "measure": {
                "kind": "evaluate", "models": ["base"], "problems": "heldout", "needs": ["thoughts"],
                "sampling": {"max_tokens": 48},
            },
        },
    )  # fmt: skip
    run = stack.cli("run", str(recipe), "--watch").stdout.strip()
    status = stack.status(run)
    assert status["state"] == "done"
    trees = [ReasoningTree.model_validate(record["body"]) for record in stack.records(run, "trees", "tree")]
    assert len(trees) == 3
    assert all(len(tree.nodes) > 1 and tree.cost.completion_tokens >= tree.tree_tokens > 0 for tree in trees)
    for tree in trees:
        sampled = [node for node in tree.nodes if node.parent is not None]
        assert all(bool(node.token_ids) == (engine == "vllm") for node in sampled)
    report = json.loads(stack.cli("report", run, "--json").stdout)
    assert report["models"]["base"]["n"] == 2
    assert name in json.dumps(report)
    paid = sum(row["completion_tokens"] for row in status["usage"]["by"] if row["stage"] == "trees")
    assert paid == sum(tree.cost.completion_tokens for tree in trees)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"stages": {"measure": {"kind": "evaluate", "models": ["base"], "problems": "few", "sampels": 2}}},
            "stages.measure.sampels",
        ),
        (
            {"stages": {"measure": {"kind": "evaluate", "models": ["base"], "problems": "few", "samples": "two"}}},
            "stages.measure.samples",
        ),
        ({"models": {"base": {"model": "no/such-model"}}}, "models.base"),
        ({"models": {"base": {"model": "m", "url": "http://127.0.0.1:9/v1"}}}, "models.base"),
    ],
    ids=["unknown key", "wrong type", "no such model", "unreachable endpoint"],
)
def test_bad_recipes_are_refused_in_one_clear_message(stack: Stack, tmp_path: Path, change: dict[str, Any], named: str) -> None:
    recipe = {
        "name": "bad",
        "models": BASE,
        "problems": {"few": few(0, 2)},
        "stages": {"measure": MEASURE},
        **change,
    }
    done = stack.cli("run", str(stack.recipe(tmp_path, **recipe)), check=False)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr and "Traceback" not in done.stderr


def kill_tree(process: psutil.Process) -> None:
    for one in [*process.children(recursive=True), process]:
        one.kill()


def test_a_run_lives_through_the_death_of_every_part(stack: Stack, tmp_path: Path) -> None:
    recipe = stack.recipe(
        tmp_path,
        name="killed",
        models=BASE,
        problems={"search": few(300, 16)},
        stages={
            "trees": {
                "kind": "search", "policy": "base", "problems": "search", "width": 3, "max_depth": 4,
                "sampling": {"max_tokens": 32},
            },
            "thoughts": {"kind": "compile", "trees": "trees"},
        },
    )  # fmt: skip
    run = stack.cli("run", str(recipe)).stdout.strip()
    stack.wait(run, lambda status: status["stages"]["trees"]["running"] > 0)
    kill_tree(stack.part("engine-worker"))
    stack.part("conductor").kill()
    before = stack.wait(run, lambda status: status["stages"]["trees"]["done"] > 0)["stages"]["trees"]["done"]
    # the engine alone, under its worker: it is started anew, and what was in hand goes on from its last saved round
    engines = [child for child in stack.part("engine-worker").children(recursive=True) if "EngineCore" in " ".join(child.cmdline())]
    for engine in engines:
        engine.kill()
    stack.part("gateway").kill()
    valkey = stack.part("valkey")
    valkey.kill()
    shutil.rmtree(stack.folder / "valkey")
    deadline = time.monotonic() + 60
    while valkey.is_running() and valkey.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.1)
    status = stack.wait(run, lambda status: status["state"] == "done")
    trees = status["stages"]["trees"]
    assert (trees["total"], trees["done"], trees["dead"]) == (16, 16, 0)
    assert before <= trees["done"]
    records = stack.records(run, "trees", "tree")
    keys = [record["key"] for record in records]
    assert len(keys) == len(set(keys)) == 16
    assert engines, "an engine ran when it was killed"
    # both tries were paid for: the ledger counts every answer, a tree those of the rounds that became part of it
    paid = sum(row["completion_tokens"] for row in status["usage"]["by"] if row["stage"] == "trees")
    assert paid >= sum(record["body"]["cost"]["completion_tokens"] for record in records) > 0
    engines = [process for process in stack.processes() if "vllm" in " ".join(process.cmdline()).lower()]
    worker = stack.part("engine-worker")
    assert {process.pid for process in engines} <= {child.pid for child in worker.children(recursive=True)}, (
        "an engine without its worker"
    )
