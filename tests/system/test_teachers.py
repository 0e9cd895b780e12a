"""A hosted teacher that accepts a share: what is paid, what is bought twice, and what a re-run costs.

Real ledger, conductor, worker process and distiller; the teacher is a server of ours that keeps its own books.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import select, update

from services.conductor.reconcile import reconcile
from services.gateway.reports import costs
from services.gateway.status import status
from shared.contracts.recipe import Recipe
from shared.contracts.thought import Response
from shared.ledger.database import Ledger
from shared.ledger.problems import store_set
from shared.ledger.records import iterate_records, run_usage
from shared.ledger.runs import NewStage, create_run, get_run, set_paused
from shared.ledger.spending import set_cap
from shared.ledger.tables import LIVE, items
from tests.shared.engines.scripted import Reply, chat, scripted_server

PROBLEMS, SAMPLES, PRICES = 60, 4, (3.0, 15.0)
SHARE = 0.3
WORKER = """
import sys, threading
import services.distiller.tasks, shared.work.preflight
from sqlalchemy import select
from shared.ledger.database import Ledger
from shared.ledger.tables import ItemState, items
from shared.settings import Settings
from shared.work.runtime import Runtime

url = sys.argv[1]
runtime = Runtime(Settings(database_url=url, lease_seconds=2, renew_seconds=0.2), "distiller", 8)
runtime.start()
ledger = Ledger(url)
def one(place):
    while True:
        query = select(items.c.id).where(items.c.state == ItemState.QUEUED).order_by(items.c.id)
        with ledger.read() as connection:
            waiting = connection.execute(query).scalars().all()
        for item in waiting[place % max(1, len(waiting)):] or waiting:
            runtime.work(item)
            break
        else:
            threading.Event().wait(0.05)
for place in range(8):
    threading.Thread(target=one, args=(place,), daemon=True).start()
threading.Event().wait()
"""


class Teacher:
    """Answers rightly in SHARE of its samples, at its own leisure; `answered` are its books: (prompt, completion) tokens."""

    def __init__(self) -> None:
        self.rng = Random(5)
        self.answered: list[tuple[int, int]] = []
        self.right = 0
        self.lock = threading.Lock()
        self.seconds = 0.0

    def __call__(self, body: dict[str, Any]) -> Reply:
        if self.seconds:
            time.sleep(self.seconds)
        with self.lock:
            said = self.rng.random() < SHARE
            answer = "The answer is 5." if said else "The answer is 6."
            tokens = 20 + self.rng.randrange(30), 50 + self.rng.randrange(200)
            self.answered.append(tokens)
            self.right += said
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
        return Reply({**chat(f"Way {len(self.answered)}. {answer}"), "usage": usage})

    @property
    def dollars(self) -> float:
        return sum(read * PRICES[0] + written * PRICES[1] for read, written in self.answered) / 1e6


class House:
    """A ledger, a conductor's hand, and worker processes."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/ledger.db"
        self.ledger = Ledger(self.url)
        self.ledger.migrate()
        store_set(
            self.ledger,
            "sums",
            [{"id": f"p{n:02}", "question": f"2 + 3, in way {n}?", "answer": "5", "version": 1} for n in range(PROBLEMS)],
        )
        self.workers: list[subprocess.Popen[bytes]] = []

    def post(self, url: str, digest: str = "same", **more: Any) -> str:
        teacher = {"model": "big", "url": url, "price_per_million": PRICES}
        stage = {
            "kind": "distill",
            "problems": "p",
            "teacher": "far",
            "samples": SAMPLES,
            "accept": 1,
            "sampling": {"max_tokens": 300},
        }
        recipe = Recipe.model_validate(
            {"name": "t", "models": {"far": teacher}, "problems": {"p": {"set": "sums"}}, "stages": {"taught": stage}, **more}
        )
        new = [NewStage("taught", "distill", ())]
        body = json.loads(recipe.model_dump_json())
        return create_run(self.ledger, "t", body, new, request_digest=digest, spend_cap=recipe.spend_cap)[0]

    def work(self) -> subprocess.Popen[bytes]:
        env = {**os.environ, "LONGTHOUGHT_LOG_LEVEL": "error"}
        self.workers.append(subprocess.Popen([sys.executable, "-c", WORKER, self.url], env=env))
        return self.workers[-1]

    def until(self, run: str, reached: Any) -> Any:
        from shared.ledger.setbacks import sweep

        until = time.monotonic() + 120
        while not reached(row := get_run(self.ledger, run)):
            assert time.monotonic() < until, status(self.ledger, row)
            with self.ledger.write() as connection:
                connection.execute(update(items).values(not_before=0.0))
            sweep(self.ledger)
            reconcile(self.ledger)
            time.sleep(0.05)
        return row

    def ended(self, run: str) -> Any:
        return self.until(run, lambda row: row.state not in LIVE)

    def responses(self, run: str) -> list[Response]:
        return [Response.model_validate(body) for body in iterate_records(self.ledger, run, "taught", "response")]

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.ledger.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture
def teacher() -> Iterator[tuple[Teacher, str]]:
    made = Teacher()
    with scripted_server() as server:
        server.otherwise = made
        yield made, server.url


def test_the_price_of_an_accepted_sample_is_the_servers_own_and_a_re_run_buys_nothing(
    house: House, teacher: tuple[Teacher, str]
) -> None:
    books, url = teacher
    house.work()
    run = house.post(url)
    assert house.ended(run).state == "done"
    accepted = sum(response.verified for response in house.responses(run))
    probes = sum(row.cost for row in run_usage(house.ledger, run) if row.stage == "preflight")
    found = costs(house.ledger, run)["taught"]
    assert 0.4 * PROBLEMS < accepted < PROBLEMS and found["accepted"] == accepted and found["samples"] == len(books.answered) - 1
    assert found["cost_per_accepted"] == pytest.approx((books.dollars - probes) / accepted, rel=0.02)
    assert sum(row.cost for row in run_usage(house.ledger, run)) == pytest.approx(books.dollars, rel=1e-6)

    calls = len(books.answered)
    again = house.post(url)
    assert house.ended(again).state == "done"
    assert len(books.answered) == calls, "a finished recipe that is run again asks nobody"
    texts = [[(one.id, one.text, one.verified) for one in house.responses(each)] for each in (run, again)]
    assert texts[0] == texts[1]
    assert status(house.ledger, get_run(house.ledger, again))["usage"]["cached"] == calls

    other = house.post(url, digest="other", seed=7)
    assert house.ended(other).state == "done" and len(books.answered) > calls, "another seed draws anew"


def test_a_distiller_killed_in_mid_run_buys_nothing_twice_but_what_was_in_flight(
    house: House, teacher: tuple[Teacher, str]
) -> None:
    books, url = teacher
    books.seconds = 0.03
    run = house.post(url)
    kills = in_flight = 0
    worker = house.work()
    for calls in (30, 80):
        house.until(run, lambda row, calls=calls: len(books.answered) >= calls or row.state not in LIVE)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        kills += 1
        in_flight += 8
        worker = house.work()
    assert house.ended(run).state == "done"
    stored = house.responses(run)
    assert kills == 2 and len({one.id for one in stored}) == len(stored)
    bought = len(stored) + 1
    assert bought <= len(books.answered) <= bought + in_flight
    with house.ledger.read() as connection:
        assert {row.state for row in connection.execute(select(items.c.state).where(items.c.run_id == run))} == {"done"}


def test_a_run_at_its_cap_is_paused_before_it_and_goes_on_with_a_higher_one(house: House, teacher: tuple[Teacher, str]) -> None:
    books, url = teacher
    house.work()
    run = house.post(url, spend_cap=0.05)
    row = house.until(run, lambda row: row.paused or row.state not in LIVE)
    assert row.paused and row.reason.startswith("spend cap: ")
    spent = books.dollars
    assert 0.03 < spent <= 0.05
    time.sleep(0.5)
    assert books.dollars <= 0.05, "paused is paused"
    set_cap(house.ledger, run, 50.0)
    set_paused(house.ledger, run, False)
    assert house.ended(run).state == "done" and books.dollars > spent
    with house.ledger.read() as connection:
        assert {row.attempts for row in connection.execute(select(items.c.attempts).where(items.c.run_id == run))} == {0}
