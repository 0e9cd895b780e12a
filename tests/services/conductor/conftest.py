"""Runs and workers made by hand, so that the conductor's decisions can be watched one by one."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.contracts.recipe import Recipe
from shared.ledger.database import Ledger
from shared.ledger.problems import store_set
from shared.ledger.runs import NewStage, create_run
from shared.ledger.workers import beat


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    bodies = [{"id": f"p{place}", "question": f"1 + {place}?", "answer": str(place + 1), "version": 1} for place in range(70)]
    store_set(ledger, "sums", bodies)
    beat(ledger, "hands", "distiller,searcher,compiler,trainer,evaluator", 64)
    return ledger


RECIPE: dict[str, Any] = {
    "name": "tiny",
    "models": {"base": {"model": "some/model"}},
    "problems": {"train": {"set": "sums", "count": 40}, "held": {"set": "sums", "skip": 40}},
    "stages": {
        "worked": {"kind": "import", "problems": "train"},
        "policy": {"kind": "train", "base": "base", "data": "worked"},
        "search": {"kind": "search", "policy": "policy", "problems": "train"},
        "thoughts": {"kind": "compile", "trees": "search"},
        "measure": {"kind": "evaluate", "models": ["base", "policy"], "problems": "held", "needs": ["thoughts"]},
    },
}


@pytest.fixture
def post(ledger: Ledger) -> Callable[..., str]:
    """Posts RECIPE with changes as the gateway does; returns the run's id."""

    def posted(**changes: Any) -> str:
        recipe = Recipe.model_validate({**RECIPE, **changes})
        new = [
            NewStage(name, recipe.stages[name].kind, recipe.needs(name), recipe.stages[name].max_dead) for name in recipe.order()
        ]
        return create_run(ledger, recipe.name, recipe.model_dump(mode="json"), new)[0]

    return posted
