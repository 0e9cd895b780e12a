"""What cannot be measured: one message on the item at its first attempt, and no record."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from services.evaluator import tasks  # noqa: F401  (registers its handlers)
from shared.ledger.database import Ledger
from shared.ledger.items import item_name
from shared.ledger.records import count_records
from shared.ledger.tables import items, problems
from shared.settings import settings
from shared.work.context import Work
from shared.work.runtime import Runtime

Take = Callable[..., Work]


@pytest.fixture
def worked(ledger: Ledger, take: Take, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Works the item of the model `base` as a worker does; returns its row."""

    def work() -> Any:
        run = take("close").lease.run_id
        monkeypatch.setenv("LONGTHOUGHT_DATABASE_URL", str(ledger.url))
        settings.cache_clear()
        runtime = Runtime(settings(), "evaluator", 1)
        runtime.start()
        runtime.work(item_name(run, "measure", "base"))
        runtime.stop()
        runtime.close()
        with ledger.read() as connection:
            return connection.execute(select(items).where(items.c.run_id == run, items.c.key == "base")).one()

    return work


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answer": ""}, "problem p2 of sums cannot be used: Value error, no final answer: `answer` is empty"),
        ({"question": ""}, "problem p2 of sums cannot be used: question String should have at least 1 character"),
        ({"grading": {"kind": "judge", "rubric": "facts"}}, "problem p2 is graded by a judge, and the stage names none"),
    ],
    ids=["no answer", "no question", "no judge"],
)
async def test_a_problem_that_cannot_be_graded(
    ledger: Ledger, worked: Callable[[], Any], change: dict[str, Any], words: str
) -> None:
    with ledger.write() as connection:
        [body] = connection.execute(select(problems.c.body).where(problems.c.place == 2)).scalars()
        connection.execute(problems.update().where(problems.c.place == 2).values(body={**body, **change}))
    item = await asyncio.to_thread(worked)
    assert (item.state, item.attempts) == ("dead", 1), item.error
    assert words in item.error and len(item.error) < 300
    assert count_records(ledger, item.run_id) == {}
