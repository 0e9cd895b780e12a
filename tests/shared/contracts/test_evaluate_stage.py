"""Evaluate stages with a reward: who may weigh votes, and where a reward is refused."""

from typing import Any

import pytest

from shared.contracts.faults import checked
from shared.contracts.recipe import Recipe
from tests.shared.contracts.test_recipe import GOOD, changed

SCORER = {"model": "org/prm", "prm": "skywork"}
LABELLED = changed("stages.thoughts.step_labels", "verdicts", changed("models.scorer", SCORER))
LEARNED = {"kind": "train", "base": "policy", "data": "thoughts", "method": "prm", "config": "prm"}
WEIGHED = changed("stages.measure.reward", "scorer", changed("stages.learned", LEARNED, LABELLED))
REGRADE = {"run": "old-1", "stage": "measure"}


@pytest.mark.parametrize("reward", ["scorer", "learned"])
def test_a_model_with_prm_or_a_training_with_method_prm_weighs(reward: str) -> None:
    recipe = Recipe.model_validate(changed("stages.measure.reward", reward, WEIGHED))
    stage: Any = recipe.stages["measure"]
    assert (stage.roles(), stage.asks(), stage.weighs_by) == ({"reward": reward}, ("base", "journey"), "min")
    assert ("learned" in recipe.needs("measure")) == (reward == "learned")


def test_judge_and_reward_are_roles_of_their_own() -> None:
    stage: Any = Recipe.model_validate(changed("stages.measure.judge", "far", WEIGHED)).stages["measure"]
    assert stage.roles() == {"judge": "far", "reward": "scorer"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("reward", "base", "`base` is no process reward model (a model with `prm`, or a training with method prm)"),
        ("reward", "journey", "`journey` is no process reward model (a model with `prm`, or a training with method prm)"),
        ("reward", "scoer", "nothing is named `scoer`"),
        ("reward", "thoughts", "`thoughts` is a compile, not a model or train or retrain"),
        ("judge", "scorer", "`scorer` is a process reward model, which scores steps and does nothing else"),
        ("samples", 1, None),
        ("reward_aggregate", "max", "must be 'last', 'min', 'product' or 'mean' (got \"max\")"),
    ],
)
def test_what_is_refused_names_its_place(field: str, value: Any, message: str | None) -> None:
    recipe, mistakes = checked(changed(f"stages.measure.{field}", value, WEIGHED))
    alone = ("stages.measure.reward", "it weighs votes against each other, and one sample a problem has none: raise `samples`")
    assert recipe is None and mistakes == [alone if message is None else (f"stages.measure.{field}", message)]


def test_an_adapter_left_apart_is_served_by_nobody() -> None:
    apart = changed("stages.learned.lora", {"merge": False}, WEIGHED)
    _, [(place, message)] = checked(changed("stages.measure.reward", "learned", apart))
    assert place == "stages.measure.reward" and "leaves an adapter" in message


def test_scores_that_nobody_gives_have_no_aggregate() -> None:
    _, mistakes = checked(changed("stages.measure.reward_aggregate", "mean"))
    assert mistakes == [("stages.measure.reward_aggregate", "there are no scores to make weights of: name a `reward`")]


def test_a_regrading_weighs_anew_and_scores_nothing() -> None:
    again = {"kind": "evaluate", "problems": "few", "regrade": REGRADE}
    stage: Any = Recipe.model_validate(changed("stages.again", {**again, "reward_aggregate": "mean"})).stages["again"]
    assert (stage.roles(), stage.weighs_by) == ({}, "mean")
    _, mistakes = checked(changed("stages.again", {**again, "reward": "scorer"}, LABELLED))
    said = "a stage with `regrade` asks no model: the scores of steps are those of the earlier run"
    assert mistakes == [("stages.again.reward", said)]


def test_a_stage_without_a_reward_is_what_it_was() -> None:
    stage: Any = Recipe.model_validate(GOOD).stages["measure"]
    assert (stage.reward, stage.roles()) == (None, {})
