"""One endpoint misbehaves while another is well: real ledger, conductor, worker and searcher, the endpoints scripted over HTTP.

No engine, and no broker: the bell of an item is a thread that works it.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import services.searcher.tasks  # noqa: F401  (registers its handler)
import shared.work.preflight  # noqa: F401  (registers its handler)
from services.conductor.main import step
from shared.contracts.recipe import Recipe
from shared.contracts.tree import ReasoningTree
from shared.engines.transport import Patience, Server
from shared.ledger.database import Ledger
from shared.ledger.problems import store_set
from shared.ledger.records import iterate_records, run_usage
from shared.ledger.runs import NewStage, create_run, get_run
from shared.ledger.tables import LIVE, items
from shared.ledger.workers import beat
from shared.settings import Settings
from shared.work.runtime import Runtime
from tests.shared.engines.scripted import Reply, Scripted, chat, scripted_server

PROBLEMS = 3
ATTEMPTS = 2
QUICK = Patience(attempts=3, first_wait=0.001, longest_wait=0.01, busy_seconds=5.0, connect_seconds=5.0)
STEPS = ("Tom has 2 + 3 = 5 pens.", "The answer is 5.")


class Stack:
    """A conductor and a worker on one ledger."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder}/ledger.db"
        self.settings = Settings(database_url=url, lease_seconds=20, renew_seconds=0.5)
        self.ledger = Ledger(url)
        self.ledger.migrate()
        problems = [{"id": f"p{n}", "question": "2 + 3?", "answer": "5", "version": 1} for n in range(PROBLEMS)]
        store_set(self.ledger, "sums", problems)
        self.runtime = Runtime(self.settings, "searcher", 16)
        self.runtime.start()
        self._threads = ThreadPoolExecutor(16)
        self._rung: list[Future[None]] = []

    def ring(self, item_id: str, service: str) -> bool:
        self._rung.append(self._threads.submit(self.runtime.work, item_id))
        return True

    def post(self, name: str, url: str) -> str:
        stage = {
            "kind": "search",
            "policy": "far",
            "problems": "p",
            "max_depth": 2,
            "width": 2,
            "retries": 0,
            "max_attempts": ATTEMPTS,
        }
        made = {"name": name, "models": {"far": {"model": "m", "url": url, "price_per_million": (1.0, 2.0)}}}
        recipe = Recipe.model_validate({**made, "problems": {"p": {"set": "sums"}}, "stages": {"search": stage}})
        return create_run(self.ledger, name, recipe.model_dump(mode="json"), [NewStage("search", "search", ())])[0]

    def until_ended(self, run: str) -> Any:
        """Passes of the conductor, waits between attempts left out, until the run has ended."""
        while (row := get_run(self.ledger, run)).state in LIVE:  # type: ignore[union-attr]
            with self.ledger.write() as connection:
                connection.execute(update(items).values(not_before=0.0))
            beat(self.ledger, self.runtime.name, "searcher", 16)
            step(self.ledger)
            for work in [work for work in self._rung if work.done()]:
                work.result()
        return row

    def items(self, run: str) -> list[Any]:
        with self.ledger.read() as connection:
            return list(connection.execute(select(items).where(items.c.run_id == run, items.c.stage == "search")))

    def close(self) -> None:
        self.runtime.stop()
        self._threads.shutdown()
        self.runtime.close()
        self.ledger.close()


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    made = Stack(tmp_path)
    monkeypatch.setattr("services.conductor.dispatch.ring", made.ring)
    monkeypatch.setattr("services.conductor.main.settings", lambda: made.settings)
    monkeypatch.setattr("shared.engines.roles.Server", partial(Server, patience=QUICK))
    yield made
    made.close()


def well(body: dict[str, Any]) -> Reply:
    """A model that solves its problem in two steps."""
    said = [message for message in body["messages"] if message["role"] == "assistant"]
    return Reply(chat(STEPS[bool(said)]))


SICK: dict[str, tuple[Reply, str, int]] = {
    "busy": (Reply({"error": {"message": "tier limit reached"}}, 429), "tier limit reached (HTTP 429)", QUICK.attempts),
    "busy for long": (Reply({"message": "come tomorrow"}, 429, {"Retry-After": "86400"}), "come tomorrow (HTTP 429)", 1),
    "broken": (
        Reply({"error": "CUDA error: device-side assert"}, 500),
        "CUDA error: device-side assert (HTTP 500)",
        QUICK.attempts,
    ),
    "mute": (Reply(cut=True), "cannot be reached", QUICK.attempts),
    "cut": (Reply(chat("x"), half=True), "cannot be reached", QUICK.attempts),
    "no JSON": (Reply("<html>Bad gateway</html>"), "It said: <html>Bad gateway</html>", 1),
    "no choices": (Reply({"object": "error", "message": "no such adapter"}), "no such adapter", 1),
    "no counting": (Reply({**chat("x"), "usage": {"completion_tokens": -3}}), "usage.completion_tokens '-3'", 1),
}


@pytest.mark.parametrize(("reply", "words", "requests"), SICK.values(), ids=SICK)
def test_a_sick_endpoint_fails_its_own_run_in_its_words_and_no_other(stack: Stack, reply: Reply, words: str, requests: int) -> None:
    other_is_done = threading.Event()

    def sick(body: dict[str, Any]) -> Reply:
        if "What is 1 + 1?" in body["messages"][0]["content"]:
            return well(body)  # well at the preflight
        assert other_is_done.wait(60), "the healthy run waits for the sick one"
        return reply

    with scripted_server() as bad, scripted_server() as good:
        bad.otherwise, good.otherwise = sick, well
        failing, finishing = stack.post("failing", bad.url), stack.post("finishing", good.url)
        assert stack.until_ended(finishing).state == "done"
        assert get_run(stack.ledger, failing).state == "running"  # type: ignore[union-attr]
        other_is_done.set()
        failed = stack.until_ended(failing)

        assert failed.state == "failed"
        assert words in failed.reason
        found = stack.items(failing)
        assert [(item.state, item.attempts, item.lost) for item in found] == [("dead", ATTEMPTS, 0)] * PROBLEMS
        assert all(words in item.error for item in found)
        assert len(bad.asked) == 1 + PROBLEMS * ATTEMPTS * requests

        assert [(item.state, item.attempts, item.lost) for item in stack.items(finishing)] == [("done", 0, 0)] * PROBLEMS
        trees = [ReasoningTree.model_validate(body) for body in iterate_records(stack.ledger, finishing, "search", "tree")]
        assert [len(list(tree.verified_leaves)) for tree in trees] == [1] * PROBLEMS
        check_paid(stack, finishing, good, len(good.asked))
        answered = 0 if reply.status >= 400 or reply.cut or reply.half or isinstance(reply.body, str) else PROBLEMS * ATTEMPTS
        check_paid(stack, failing, bad, 1 + answered)


def check_paid(stack: Stack, run: str, server: Scripted, answered: int) -> None:
    """Every answer that the server charged for stands in the ledger, and nothing else."""
    rows = run_usage(stack.ledger, run)
    assert sum(row.requests for row in rows) == answered <= len(server.asked)
    assert all(row.prompt_tokens >= 0 and row.completion_tokens >= 0 and row.cost >= 0 for row in rows)
