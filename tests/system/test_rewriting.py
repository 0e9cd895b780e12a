"""The distiller's stages one after the other through conductor, ledger and a worker's inside; the teacher is a server of ours."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import services.distiller.tasks  # noqa: F401  (registers the handlers)
import shared.work.preflight  # noqa: F401  (registers the checks that every run begins with)
from services.conductor.reconcile import reconcile
from services.gateway.reports import costs
from shared.contracts.recipe import Recipe
from shared.contracts.report import SelectionReport
from shared.contracts.thought import Example, Response
from shared.ledger.database import Ledger
from shared.ledger.problems import store_set
from shared.ledger.records import iterate_records, record_keys
from shared.ledger.runs import NewStage, create_run, get_run
from shared.ledger.tables import LIVE, ItemState, items
from shared.settings import Settings
from shared.work.runtime import Runtime
from tests.shared.engines.scripted import Reply, chat, scripted_server

SKETCH = "2 + 3 = 6\nNo, that is wrong: 2 + 3 = 5"
STAGES: dict[str, Any] = {
    "worked": {"kind": "reformat", "problems": "p", "teacher": "far"},
    "drawn": {"kind": "distill", "problems": "p", "teacher": "far", "samples": 2},
    "noted": {"kind": "annotate", "problems": "p", "teacher": "far", "retries": 1},
    "chosen": {"kind": "select", "responses": ["drawn", "noted"], "per_problem": 2},
    "mixed": {"kind": "translate", "responses": ["chosen"], "teacher": "far", "retries": 1},
}


def capable(prompt: str) -> str:
    if "Sketch:" in prompt:
        return "Let me see. I take 2 and 3. 2 + 3 = 6.\nWait. No, that is wrong, it is less: 2 + 3 = 5.\nThe answer is 5."
    if "Solution:" in prompt:
        return "Step 1: We add the second number to the first, so 2 + 3 = 5.\nThe answer is \\boxed{5}."
    if "Translate" in prompt:
        return re.sub(r"[A-Za-z']+", "字", prompt.partition("Text:\n")[2])
    return "Wait, let me check: 2 + 3 = 5.\nThe answer is 5."


def nonsense(prompt: str) -> str:
    return "<think>The pie is 7</think> \\boxed{ 7 ⟦9⟧ The answer is The answer is"


class House:
    """A ledger, a conductor's hand, and a worker's inside."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder}/ledger.db"
        self.ledger = Ledger(url)
        self.ledger.migrate()
        problem = {"question": "What is 2 + 3?", "answer": "5", "solution": "2 + 3 = 5", "version": 1}
        sketched = {**problem, "metadata": {"sketch": SKETCH}}
        store_set(self.ledger, "sums", [{**(sketched if n == 0 else problem), "id": f"p{n}"} for n in range(3)])
        self.runtime = Runtime(Settings(database_url=url), "distiller", 4)
        self.runtime.start()

    def run(self, url: str, state: str = "done") -> str:
        raw = {"name": "t", "models": {"far": {"model": "big", "url": url}}, "problems": {"p": {"set": "sums"}}, "stages": STAGES}
        recipe = Recipe.model_validate(raw)
        new = [NewStage(name, recipe.stages[name].kind, recipe.needs(name)) for name in recipe.order()]
        run = create_run(self.ledger, "t", recipe.model_dump(mode="json"), new, request_digest="same")[0]
        until = time.monotonic() + 60
        while get_run(self.ledger, run).state in LIVE and time.monotonic() < until:
            reconcile(self.ledger)
            with self.ledger.write() as connection:
                connection.execute(update(items).values(not_before=0.0))
            with self.ledger.read() as connection:
                waiting = connection.execute(select(items.c.id).where(items.c.state == ItemState.QUEUED)).scalars().all()
            for item in waiting:
                self.runtime.work(item)
        assert get_run(self.ledger, run).state == state
        return run

    def close(self) -> None:
        self.runtime.stop()
        self.runtime.close()
        self.ledger.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def keys(house: House, run: str, stage: str, kind: str = "response") -> list[str]:
    return record_keys(house.ledger, run, stage, kind)


def test_a_capable_teacher(house: House) -> None:
    with scripted_server() as server:
        server.otherwise = lambda body: Reply(chat(capable(body["messages"][0]["content"])))
        run = house.run(server.url)
        examples = [Example.model_validate(body) for body in iterate_records(house.ledger, run, "worked", "example")]
        assert len(examples) == 3 and all(example.origin.prompt == "reformat@1" for example in examples)
        assert keys(house, run, "noted") == ["p0#0"]
        assert keys(house, run, "chosen") == ["drawn/p0#0", "noted/p0#0", "p1#0", "p2#0"]
        assert keys(house, run, "mixed") == sorted([*(key + end for key in keys(house, run, "chosen") for end in ("", "@Chinese"))])
        mixed = [Response.model_validate(body) for body in iterate_records(house.ledger, run, "mixed", "response")]
        assert all(one.verified and "2 + 3" in one.question and one.extracted == "5" for one in mixed)
        assert costs(house.ledger, run)["mixed"]["accepted"] == 4
        calls = len(server.asked)
        again = house.run(server.url)
        assert len(server.asked) == calls, "a finished recipe that is run again asks nobody"
        assert keys(house, again, "mixed") == keys(house, run, "mixed")


def test_a_teacher_that_talks_nonsense_costs_no_more_than_its_retries(house: House) -> None:
    with scripted_server() as server:
        server.otherwise = lambda body: Reply(chat(nonsense(body["messages"][0]["content"])))
        run = house.run(server.url, "failed")  # nothing is left to translate
        examples = [Example.model_validate(body) for body in iterate_records(house.ledger, run, "worked", "example")]
        assert [example.text for example in examples] == ["Step 1: 2 + 3 = 5\nThe answer is 5."] * 3
        assert not any(keys(house, run, stage) for stage in ("noted", "chosen", "mixed"))
        (selection,) = iterate_records(house.ledger, run, "chosen", "selection")
        assert SelectionReport.model_validate(selection).passed_over == {"did not verify": 6}
        failed = [
            body.get("failed") for stage in ("worked", "noted") for body in iterate_records(house.ledger, run, stage, "tally")
        ]
        assert failed == [{"no box": 1}] * 3 + [{"a step is missing": 1}] + [{"no sketch": 1}] * 2
