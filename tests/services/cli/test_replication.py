"""The page of the replication: the lines that it must hold, from a run's own figures."""

import re
from typing import Any

from services.cli.replicate import unended
from services.cli.replication import document

CONDITIONS = {"problems": "sums", "problem_count": 2, "samples": 2, "temperature": 0.8, "max_tokens": 96, "engine": "fake 1.0"}
RIGHT = {"journey-1": [True, True], "journey-2": [True, False], "shortcut-1": [False, True], "shortcut-2": [False, False]}
TRAINING = {"kind": "train", "base": "base", "data": "worked", "learning_rate": 1e-4, "epochs": 3, "learn_wrong_steps": False}


def score(flags: list[bool]) -> dict[str, Any]:
    right = sum(flags) / len(flags)
    return {
        "pass_at_1": right, "stderr": 0.1, "maj_at_k": right, "avg_tokens": 70.0, "truncated": 0.0, "keywords": {"wait": 0.5},
        "conditions": CONDITIONS,
    }  # fmt: skip


class FakeClient:
    """What the page is made from."""

    def run(self, run: str) -> dict[str, Any]:
        usage = {"prompt_tokens": 1000, "completion_tokens": 2000}
        return {"id": run, "created_at": 0.0, "ended_at": 9000.0, "usage": usage}

    def recipe(self, run: str) -> dict[str, Any]:
        again = {"kind": "retrain", "like": "best"}
        return {"name": "tiny", "stages": {"try": TRAINING, "journey-1": again, "final": {"kind": "evaluate"}}}

    def report(self, run: str) -> dict[str, Any]:
        checkpoint = {"samples": 327, "steps": 123, "epochs": 3.009, "train_tokens": 200_000, "loss": 0.01, "seconds": 300.0}
        return {
            "models": {f"{name}@final": score(flags) for name, flags in RIGHT.items()},
            "benchmarks": {"final": {"benchmark": "sums"}},
            "picks": {"best": {"model": "try", "candidates": {"try": (0.5, 0.03, 70.0)}}},
            "datasets": {
                "worked": {"counts": {"journey": 327}, "statistics": {"journey": {"tokens": 99.4}}, "skipped": {"none": 2}}
            },
            "checkpoints": {"try": checkpoint, "journey-1": checkpoint},
        }

    def records(self, run: str, stage: str, kind: str) -> list[dict[str, Any]]:
        assert (stage, kind) == ("final", "sample")
        return [
            {"body": {"model": name, "problem_id": f"p{n}", "verified": right, "grading_error": None}}
            for name, flags in RIGHT.items()
            for n, right in enumerate(flags)
        ]


def test_the_page_holds_the_difference_the_tries_and_the_settings() -> None:
    page = document(FakeClient(), "tiny-1")  # type: ignore[arg-type]
    line = r"journey - shortcut: \+50\.0 points \(95% CI [+-]\d+\.\d to \+\d+\.\d\), problems 2, seeds 2"
    assert re.search(line, page)
    assert "token-matched" not in page, "an arm that was not trained is not written of"
    assert "| try | worked, no loss on wrong steps | 0.0001 | 3 | 50.0 ± 3.0 | 70 |" in page
    assert "| **journeys, mean of 2 seeds** | **75.0** |" in page and "| **shortcuts, mean of 2 seeds** | **25.0** |" in page
    assert "| journey-1 | picked by best | 327 | 123 | 3.009 | 200,000 | 0.010 | 5.0 |" in page
    assert "took 2.5 hours" in page and "name: tiny" in page


def test_a_run_that_may_still_end_is_taken_up_again() -> None:
    class Runs:
        def __init__(self, *states: str) -> None:
            self._states = states

        def runs(self) -> list[dict[str, Any]]:
            return [{"id": f"r{n}", "state": state} for n, state in enumerate(self._states)]

    def taken(*states: str) -> str | None:
        found = unended(Runs(*states))  # type: ignore[arg-type]
        return found and found["id"]

    assert taken("failed", "running", "done") == "r1" and taken("cancelled", "done") == "r1"
    assert taken("paused") == "r0" and taken("failed", "rejected") is None
