"""Which training is picked: by accuracy, then by tokens, then by order."""

import pytest

from services.evaluator.pick import pick
from shared.contracts.stages import PickStage
from tests.services.evaluator.test_report import ORIGIN, score


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
