"""The page of the replication: the lines that it must hold, from a run's own figures."""

import argparse
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.folder import Folder
from services.cli.recipe_file import RecipeFile
from services.cli.replicate import expected, fetch_pictures, main, no_gpu, unended, write_page
from services.cli.replication import BEGINS, ENDS, document
from services.cli.replication_checks import checks_of
from services.cli.replication_scale import enlarged
from services.cli.terminal import FAILED
from shared.contracts.recipe import Recipe
from tests.disks import SmallDisk

RECIPE = Path(__file__).parents[3] / "recipes" / "replicate.yaml"

CONDITIONS = {"problems": "sums", "problem_count": 2, "samples": 2, "temperature": 0.8, "max_tokens": 96, "engine": "fake 1.0"}
RIGHT = {
    "final": {"journey-1": [True, True], "journey-2": [True, False], "shortcut-1": [False, True], "shortcut-2": [False, False]},
    "again": {"dpo": [True, True]},
    "made-of": {"checks-alone": [True, False]},
    "tries": {"try": [True, False], "slow": [False, False], "other": [False, False], "base": [True, False]},
}
TRAINING = {"kind": "train", "base": "base", "data": "worked", "learning_rate": 1e-4, "epochs": 3, "learn_wrong_steps": False}
SLIP = "Step 1: 5 - 2 = 4.\nCheck: 4 + 2 = 6, which is not 5. Redo step 1.\nStep 1: 5 - 2 = 3.\nThe answer is 3."


def score(flags: list[bool]) -> dict[str, Any]:
    right = sum(flags) / len(flags)
    return {
        "pass_at_1": right, "stderr": 0.1, "maj_at_k": right, "avg_tokens": 70.0, "truncated": 0.0, "keywords": {"wait": 0.5},
        "conditions": CONDITIONS,
    }  # fmt: skip


class FakeClient:
    """What the page is made from."""

    def __init__(self, missing: str = "") -> None:
        self.missing = missing

    def run(self, run: str) -> dict[str, Any]:
        usage = {"prompt_tokens": 1000, "completion_tokens": 2000}
        stages = {name: {"state": "open" if name == self.missing else "done"} for name in self.recipe(run)["stages"]}
        ended = None if self.missing else 9000.0
        return {"id": run, "state": "running", "created_at": 0.0, "ended_at": ended, "usage": usage, "stages": stages}

    def recipe(self, run: str) -> dict[str, Any]:
        evaluations = {stage: {"kind": "evaluate", "models": list(models)} for stage, models in RIGHT.items()}
        trainings = {
            "try": TRAINING,
            "slow": {**TRAINING, "learning_rate": 5e-5},
            "checks-alone": {"kind": "retrain", "like": "best", "data": "never-wrong"},
            "other": {**TRAINING, "learn_wrong_steps": True},
            "journey-1": {"kind": "retrain", "like": "best", "data": None},
            "journey-2": {"kind": "retrain", "like": "best", "data": None},
        }
        return {"name": "tiny", "stages": {**trainings, **evaluations}}

    def report(self, run: str) -> dict[str, Any]:
        checkpoint = {"samples": 327, "steps": 123, "epochs": 3.009, "train_tokens": 200_000, "loss": 0.01, "seconds": 300.0}
        there = [stage for stage in RIGHT if stage != self.missing]
        return {
            "models": {f"{name}@{stage}": score(flags) for stage in there for name, flags in RIGHT[stage].items()},
            "benchmarks": {stage: {"benchmark": "sums"} for stage in there},
            "picks": {
                "best": {"model": "try", "measured": "tries", "candidates": {"try": (0.5, 0.03, 70.0), "slow": (0.0, 0.1, 70.0)}}
            },
            "datasets": {
                "worked": {"counts": {"journey": 327}, "statistics": {"journey": {"tokens": 99.4}}, "skipped": {"none": 2}}
            },
            "checkpoints": {
                "try": {**checkpoint, "origin": {"stage": "try"}, "device": "cpu (1 threads)"},
                "journey-1": {**checkpoint, "origin": {"stage": "try"}},
                "journey-2": {**checkpoint, "origin": {"stage": "journey-2"}},
                "slow": {**checkpoint, "origin": {"stage": "slow"}},
                "other": {**checkpoint, "origin": {"stage": "other"}},
                "checks-alone": {**checkpoint, "samples": 300, "origin": {"stage": "checks-alone"}},
            },
        }

    def events(self, run: str) -> list[dict[str, Any]]:
        return [{"created_at": moment} for moment in (0.0, *range(400, 3601, 400), *range(7200, 9001, 600))]

    def records(self, run: str, stage: str, kind: str) -> list[dict[str, Any]]:
        assert kind == "sample" and stage != self.missing
        return [
            {"body": {"model": name, "problem_id": f"p{n}", "verified": right, "grading_error": None, "text": SLIP}}
            for name, flags in RIGHT[stage].items()
            for n, right in enumerate(flags)
        ]


def page(missing: str = "", before: str = "") -> str:
    return document(FakeClient(missing), "tiny-1", before=before)  # type: ignore[arg-type]


def test_the_page_holds_the_difference_the_tries_and_the_settings() -> None:
    found = page()
    line = r"journey - shortcut: \+50\.0 points \(95% CI [+-]\d+\.\d to \+\d+\.\d\), problems 2, seeds 2"
    assert re.search(line, found)
    assert "token-matched" not in found, "an arm that was not trained is not written of"
    assert "| try | worked, no loss on wrong steps | 327 | 0.0001 | 3 | 50.0 ± 3.0 | 70 |" in found
    assert "`try` (highest learning rate of its kind: beyond it nothing was tried)" in found
    alone = "| checks-alone | never-wrong, no loss on wrong steps | 300 | 0.0001 | 3 | 50.0 ± 10.0 | 70 |"
    assert "`made-of`" in found and alone in found, "the picked training's settings, its own data"
    assert "| base | – | – | – | – | 50.0 ± 10.0 | 70 |" in found, "a model that was given has no training"
    assert "not to be chosen:" in found and "| other | worked | 327 | 0.0001 | 3 | 0.0 ± 10.0 | 70 |" in found
    assert "| **journeys, mean of 2 seeds** | **75.0** |" in found and "| **shortcuts, mean of 2 seeds** | **25.0** |" in found
    assert re.search(r"dpo - journey-1: \+0\.0 points .*, problems 2, one seed of either\n", found)
    assert "| journey-1 | 100.0 ± 10.0 | 100.0 | 70 | 0.0% | 2 of 2 (100%) | 0 of 2 (0%) |" in found
    assert "| journey-1 | is try, picked by best | 327 | 123 |" in found, "trained once, and it is said"
    assert "| journey-2 | picked by best | 327 | 123 | 3.009 | 200,000 | 0.010 | 5.0 |" in found and "On cpu (1 threads)." in found
    assert "took 1.5 hours of work (and stood still for 1.0, interrupted once);" in found
    assert "name: tiny" in found and "not done" not in found


def test_a_run_whose_events_are_gone_is_not_said_to_have_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeClient, "events", lambda client, run: [])
    assert "`tiny-1` took 2.5 hours, interruptions included (its events are gone);" in page()


def test_an_arm_that_was_measured_apart_stands_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RIGHT, "control", {"matched-1": [True, False], "matched-2": [False, False]})
    found = page()
    assert re.search(r"journey - token-matched shortcut: \+50\.0 points \(95% CI .*\), problems 2, seeds 2", found)
    table = found.split("| model |")[1].split("\n\n")[0]
    assert all(f"| {name} |" in table for name in ("journey-1", "shortcut-2", "matched-1"))
    assert "**shortcuts, as many tokens as journeys (questions included), mean of 2 seeds** | **25.0** |" in table
    assert found.count("## sums") == 2 and "(`control`)" not in found, "no part of its own"
    assert "token-matched" not in page(missing="control")


def test_the_curves_of_the_held_out_sets_are_brought_beside_the_page(tmp_path: Path) -> None:
    plots = [
        {"stage": stage, "kind": kind, "file": f"{stage}/{kind}.png"}
        for stage in ("tries", "final", "final-hard")
        for kind in ("plot", "curves_plot")
    ]

    class Files(FakeClient):
        def report(self, run: str) -> dict[str, Any]:
            return {**super().report(run), "plots": plots}

        def download_file(self, run: str, file: str, target: Path) -> Path:
            target.parent.mkdir(exist_ok=True)
            target.write_text(file)
            return target

    client: Any = Files()
    found = fetch_pictures(client, "tiny-1", tmp_path / "page")
    assert found == {"final": "page/final.png", "final-hard": "page/final-hard.png"}
    assert {file.name: file.read_text() for file in (tmp_path / "page").iterdir()} == {
        "final.png": "final/curves_plot.png", "final-hard.png": "final-hard/curves_plot.png"
    }  # fmt: skip
    assert "](page/final.png)\n\n| model" in document(client, "tiny-1", pictures=found)
    assert "![" not in page()


def test_the_page_of_an_unfinished_run_says_what_is_missing() -> None:
    found = page(missing="again")
    assert "**This run is not done.** Not there yet: `again`." in found
    assert "journey - shortcut" in found and "dpo - journey-1" not in found
    early = page(missing="final")
    assert "preferences, and a second round" in early and "| dpo | 100.0" in early and "dpo - journey-1" not in early


def test_what_a_person_saw_stays() -> None:
    seen = f"{BEGINS}\n## What was seen\n\nIt wins.\n{ENDS}"
    again = page(before=f"# Old\n\n{seen}\n\n## old figures")
    assert seen in again and "old figures" not in again and again == page(before=again)
    assert f"{BEGINS}\n{ENDS}" in page(), "the place to write in is there from the first"


def test_a_page_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    small_disk: Callable[[Path], SmallDisk],
) -> None:
    class Gateway(FakeClient):
        def __enter__(self) -> "Gateway":
            return self

        def __exit__(self, *raised: object) -> None: ...

        def runs(self) -> Iterator[dict[str, Any]]:
            return iter([{"id": "tiny-1", "name": "replicate", "state": "done"}])

    def write(target: Path) -> int:
        return write_page(argparse.Namespace(document=target, recipe=RECIPE, set=[], scale="laptop", page=True, data=tmp_path))

    monkeypatch.setattr("services.cli.replicate.gateway", Gateway)
    monkeypatch.setattr("services.cli.replicate.fetch_pictures", lambda client, run, folder: {})
    seen = f"{BEGINS}\nIt wins.\n{ENDS}"
    disk = small_disk(tmp_path)
    target = tmp_path / "new" / "page.md"
    assert write(target) == 0
    target.write_text(seen)
    disk.fill()
    assert write(target) == FAILED and target.read_text() == seen
    assert "page.md could not be written, and is as it was: [Errno 28]" in capsys.readouterr().err
    disk.make_room()
    assert write(target) == 0 and seen in target.read_text() and disk.files() == ["new/page.md"]


def test_a_gateway_that_went_away_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["replicate", "--page", "--data", str(tmp_path), "--document", str(tmp_path / "page.md")])
    monkeypatch.setattr(Folder, "holder", lambda folder: 1)
    monkeypatch.setattr(Folder, "state", lambda folder: {"url": "http://127.0.0.1:9"})
    monkeypatch.setattr(Folder, "key", lambda folder: "a key")
    monkeypatch.setattr("services.cli.connect.PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr("os.environ", dict(os.environ))
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    assert main() == FAILED
    assert "No answer from http://127.0.0.1:9" in capsys.readouterr().err and not (tmp_path / "page.md").exists()


def test_a_gpu_is_wanted_and_a_torch_that_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.gpus.NODES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "shows no NVIDIA GPU" in str(no_gpu())
    (tmp_path / "nvidia0").touch()
    for version, words in (("2.13.0+cpu", "is a build for CPUs"), ("2.13.0", "None")):
        monkeypatch.setattr("importlib.metadata.version", {"torch": version}.__getitem__)
        assert words in str(no_gpu())


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (SLIP, (1, 1, 1, 0)),
        ("Step 1: 5 - 2 = 4.\nStep 2: 4 + 1 = 5.", (1, 0, 1, 0)),
        ("Step 1: 5 - 2 = 3.\nCheck: 3 + 2 = 6, which is not 5. Redo step 1.\nStep 1: 5 - 2 = 3.", (0, 0, 2, 1)),
        ("Step 1: I see 3 pens.\nStep 1: 1 + 1 = 2.\nWait, is it? Yes.\nStep 2: 2 + 2 = 5.", (1, 0, 1, 0)),
        ("no steps: 1 + 1 = 3", (0, 0, 0, 0)),
    ],
)
def test_steps_that_were_given_up_are_counted(text: str, counts: tuple[int, int, int, int]) -> None:
    found = checks_of(text)
    assert (found.wrong, found.found, found.right, found.doubted) == counts


def test_the_enlarged_recipe_is_sound_and_its_slices_share_nothing() -> None:
    recipe = yaml.safe_load(RECIPE.read_text())
    body = enlarged(recipe)
    large, small = Recipe.model_validate(body), Recipe.model_validate(recipe)
    assert large.problems["heldout"].count == 4 * (small.problems["heldout"].count or 0)
    arms = {name for name in large.stages if re.fullmatch(r"(journey|shortcut|matched)-\d", name)}
    assert len(arms) == 15 and arms == {name for stage in ("final", "control") for name in large.stages[stage].models} - {
        "base",
        "policy",
    }
    assert "journey-fast" in large.stages["tries"].models
    assert large.stages["matched-4"].tokens_of == "journey-4" and large.stages["dpo"].base == "journey-1"
    slices = sorted((one.skip, one.skip + (one.count or 0)) for one in large.problems.values() if one.generator == "arithmetic")
    assert len(slices) == 5 and all(end <= start for (_, end), (start, _) in itertools.pairwise(slices))
    assert enlarged(recipe) == body and "journey-4" not in recipe["stages"]


@pytest.mark.parametrize(("dtype", "least", "most"), [("bfloat16", 1, 6), ("float32", 6, 24)])
def test_a_new_run_says_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch, dtype: str, least: int, most: int) -> None:
    monkeypatch.setattr("services.cli.dry_run.fast_dtype", lambda: dtype)
    monkeypatch.setenv("LONGTHOUGHT_URL", "http://127.0.0.1:9")
    said = expected(RecipeFile(RECIPE))
    hours = re.fullmatch(r"About (\d+\.\d) hours on two cores of this kind, as its --dry-run reckons\. Interrupted, .*", said)
    assert hours and least <= float(hours[1]) <= most


def test_a_run_that_may_still_end_is_taken_up_again() -> None:
    class Runs:
        def __init__(self, *states: str) -> None:
            self._states = states

        def runs(self) -> list[dict[str, Any]]:
            other = {"id": "newest", "name": "replicate-regraded", "state": "done"}
            return [other, *({"id": f"r{n}", "name": "replicate", "state": state} for n, state in enumerate(self._states))]

    def taken(*states: str) -> str | None:
        found = unended(Runs(*states), "replicate")  # type: ignore[arg-type]
        return found and found["id"]

    assert taken("failed", "running", "done") == "r1" and taken("cancelled", "done") == "r1"
    assert taken("paused") == "r0" and taken("failed", "rejected") is None
