"""Which training is picked: by accuracy, then by tokens, then by order."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.evaluator.pick import pick
from services.evaluator.report import Served
from services.evaluator.tasks import choose
from shared.contracts.stages import EvaluateStage, PickStage
from shared.work.context import Work
from shared.work.registry import Hopeless
from tests.services.evaluator.test_report import ORIGIN, report, response, score


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ({"a": (0.5, 100), "b": (0.6, 900), "c": (0.4, 10)}, "b"),
        ({"a": (0.5, 100), "b": (0.5, 90), "c": (0.5, 95)}, "b"),
        ({"a": (0.5, 100), "b": (0.5, 100), "c": (0.5, 100)}, "a"),
        ({"a": (0.0, 100), "b": (0.0, 100), "c": (0.1, 100), "other": (0.9, 1)}, "c"),
    ],
)
def test_the_best_is_picked(figures: dict[str, tuple[float, float]], best: str) -> None:
    scores = {name: score(name, accuracy, 0.02, tokens) for name, (accuracy, tokens) in figures.items()}
    found = pick(PickStage(measured="tries", models=("a", "b", "c")), scores, ORIGIN)
    assert found.model == best and list(found.candidates) == ["a", "b", "c"]
    assert found.candidates["a"] == (figures["a"][0], 0.02, figures["a"][1])


@pytest.mark.parametrize(
    ("measured", "best"),
    [
        ({"a": {"p1": True, "p2": False, "p3": False}, "b": {"p1": False}}, "a"),  # of one problem b has nothing right
        ({"a": {"p1": True, "p2": False, "p3": True}, "b": {"p1": True, "p3": False}}, "a"),
        ({"a": {"p1": True}, "b": {"p2": True}}, None),
    ],
)
async def test_where_items_died_the_same_problems_decide(measured: dict[str, dict[str, bool]], best: str | None) -> None:
    samples = [response(name, one, 0, verified=right) for name, found in measured.items() for one, right in found.items()]
    given = report(score("a", 0.1, 0.1, 9), score("b", 0.9, 0.1, 9)).model_copy(update={"samples_missing": 2})
    served = [Served(model=name, uri=name, engine="fake", prompt="solve@1") for name in measured]
    records = {"report": [given], "sample": samples, "served": served}

    async def stored(stage: str, kind: str) -> list[dict[str, Any]]:
        return [one.model_dump(mode="json") for one in records[kind]]

    tries = EvaluateStage(models=("a", "b"), problems="held", samples=1)
    recipe = SimpleNamespace(stages={"tries": tries}, seed=0)
    stage = PickStage(measured="tries", models=("a", "b"))
    work = cast(Work, SimpleNamespace(stage=stage, recipe=recipe, records=stored, origin=lambda: ORIGIN))
    if best is None:
        with pytest.raises(Hopeless, match="measured no problem with all of a, b"):
            await choose(work)
    else:
        [record] = (await choose(work)).records
        assert record.body["model"] == best and record.body["candidates"]["b"][0] < 0.9
