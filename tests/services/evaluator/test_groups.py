"""Breakdowns by subject and level."""

from collections.abc import Callable
from typing import Any

import pytest

from services.evaluator.groups import Traits, by_level, by_subject, traits_of
from services.evaluator.metrics import standard_error
from services.evaluator.table import markdown
from services.evaluator.tasks import _traits, evaluate
from shared.contracts.report import GroupScore, ModelScore, RunReport
from shared.contracts.thought import Response
from shared.ledger.database import Ledger
from shared.ledger.items import NewRecord, Result, commit
from shared.work.context import Work
from tests.services.evaluator.fakes import FakeEndpoint, said
from tests.services.evaluator.test_report import report, response, score

TRAITS = {
    "a": Traits("Prealgebra", 10),
    "b": Traits("Prealgebra", 2),
    "c": Traits("algebra", 2),
    "d": Traits("Geometry", None),
    "e": Traits(None, 2),
}


def sample(problem: str, draw: int, right: bool, tokens: int = 10, **fields: object) -> Response:
    return response("m", problem, draw, verified=right, completion_tokens=tokens, **fields)


SAMPLES = [
    sample("a", 0, True, 10), sample("a", 1, False, 20),
    sample("b", 0, True, 30), sample("b", 1, True, 40),
    sample("c", 0, False, 50), sample("c", 1, False, 70, grading_error="took too long"),
    sample("d", 0, False, 5, grading_error="took too long"),
    sample("e", 0, True, 100),
    sample("unknown", 0, True, 100),
]  # fmt: skip


def test_each_group_has_the_figures_of_its_problems() -> None:
    found = by_subject(SAMPLES, TRAITS)
    assert list(found) == ["algebra", "Prealgebra"]  # nothing of Geometry could be graded
    prealgebra = found["Prealgebra"]
    assert (prealgebra.n, prealgebra.samples, prealgebra.pass_at_1, prealgebra.avg_tokens) == (2, 4, 0.75, 25)
    assert prealgebra.stderr == pytest.approx(standard_error([(2, 1), (2, 2)]))
    assert (found["algebra"].n, found["algebra"].samples, found["algebra"].pass_at_1, found["algebra"].stderr) == (1, 2, 0, 0.5)
    assert found["algebra"].avg_tokens == 60  # what could not be graded was paid for


def test_levels_rise_as_numbers() -> None:
    found = by_level(SAMPLES, TRAITS)
    assert list(found) == ["2", "10"]
    assert (found["2"].n, found["2"].pass_at_1) == (3, pytest.approx(2 / 3))


def test_only_measured_problems_are_kept() -> None:
    bodies = [{"id": "a", "subject": "Algebra", "level": 3}, {"id": "b"}, {"id": "other", "level": 1}]
    assert traits_of(bodies, {"a", "b"}) == {"a": Traits("Algebra", 3), "b": Traits(None, None)}


def group(n: int, accuracy: float) -> GroupScore:
    return GroupScore(n=n, samples=2 * n, pass_at_1=accuracy, stderr=0.125, avg_tokens=99.6)


def with_groups(one: ModelScore, **groups: Any) -> ModelScore:
    return one.model_copy(update=groups)


def test_the_table_has_a_row_a_group_where_there_are_several() -> None:
    base = with_groups(
        score("base", 0.5, 0.1, 10), by_subject={"Geo|metry": group(3, 0.5), "algebra": group(2, 1)}, by_level={"1": group(5, 0.5)}
    )
    tuned = with_groups(score("tuned", 0.5, 0.1, 10), by_subject={"algebra": group(1, 0.25)}, by_level={"1": group(5, 0.5)})
    table = markdown(report(base, tuned))
    assert table.endswith(
        """
## pass@1 by subject

| subject | problems | base | avg. tokens | tuned | avg. tokens |
| --- | ---: | ---: | ---: | ---: | ---: |
| algebra | 2 | 100.0 ± 12.5 | 100 | 25.0 ± 12.5 | 100 |
| Geo\\|metry | 3 | 50.0 ± 12.5 | 100 | – | – |
"""
    )
    assert "by level" not in table  # there is one level
    levels = {"10": group(1, 0), "9": group(1, 0)}
    lines = markdown(report(with_groups(base, by_level=levels))).splitlines()
    assert [line.split(" | ")[0] for line in lines[-2:]] == ["| 9", "| 10"]


async def test_the_closing_item_reads_what_the_problems_are_about(ledger: Ledger, take: Callable[..., Work]) -> None:
    work = take("base", FakeEndpoint(lambda question, draw: said("The answer is 2.")))
    commit(ledger, work.lease, await evaluate(work))
    [record] = (await evaluate(take("close"))).records
    found = RunReport.model_validate(record.body).models["base"]
    assert {name: (one.n, one.pass_at_1) for name, one in found.by_subject.items()} == {"even": (1, 0), "odd": (2, 0.5)}
    assert {name: (one.n, one.pass_at_1) for name, one in found.by_level.items()} == {"1": (1, 1), "2": (1, 0), "3": (1, 0)}


def test_curated_problems_are_read_from_their_stage(ledger: Ledger, take: Callable[..., Work]) -> None:
    work = take("base")
    body = {"id": "kept", "question": "?", "answer": "1", "subject": "Algebra", "level": 5}
    commit(ledger, work.lease, Result(records=[NewRecord("problem", "kept", body)]))
    assert _traits(work, "measure", {"kept"}) == {"kept": Traits("Algebra", 5)}
