"""What tests of prices share: assumptions that are easily reckoned with, a set of problems, a recipe in few words."""

from typing import Any

from shared.contracts.recipe import Recipe
from shared.pricing.assumptions import assumed
from shared.pricing.lengths import Measured
from shared.pricing.price import StagePrice, price
from shared.pricing.speed import Throughput
from shared.pricing.work import solve

SPEED = Throughput(engine=1000, prompt=4000, train=500, source="a test's")
"""Of a model of 7 billion parameters."""
SIZES = {"base": 7e9, "teacher": 70e9, "judge": 7e9}
FLAT = assumed(
    {"curated": "0.5", "verified": "0.5", "answer": "0.25", "solved": "0.5", "wrong_turns": "1", "checks": "1", "reformatted": "2"}
    | {"asked_again": "0", "judgement": "50", "translated": "1", "reflective": "0.5", "pairable": "0.4", "tokenizer": "1"}
    | {"spread": "1"}
)
SET = Measured(count=640, read=200, question=50, solution=200, steps=4, labelled=None)
MODELS: dict[str, Any] = {
    "base": {"model": "some-7b"},
    "teacher": {"model": "t", "url": "https://t.example/v1", "price_per_million": [1.0, 4.0]},
    "judge": {"model": "judge-7b", "prm": "skywork"},
}
PROMPT = 50 + solve()
"""A question and the words around it."""


def recipe(**stages: dict[str, Any]) -> Recipe:
    sources = {"train": {"set": "math"}, "heldout": {"set": "math500", "count": 100}}
    return Recipe.model_validate({"name": "r", "models": MODELS, "problems": sources, "stages": stages})


def priced(hour: float = 0.0, measured: dict[str, Measured] | None = None, **stages: dict[str, Any]) -> dict[str, StagePrice]:
    found = price(recipe(**stages), SPEED, SIZES, hour, FLAT, {"train": SET} if measured is None else measured)
    return {one.name: one for one in found.stages}


IMPORT = {"kind": "import", "problems": "train"}
DISTILL = {"kind": "distill", "problems": "train", "teacher": "teacher", "samples": 4, "sampling": {"max_tokens": 1000}}
SEARCH = {"kind": "search", "problems": "train", "policy": "base", "width": 4, "keep": 2, "max_depth": 4, "retries": 0}
