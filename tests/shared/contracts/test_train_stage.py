"""Train stages: which methods go with which data and parameters, and what their checkpoints may be used for."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.contracts.recipe import Recipe
from tests.shared.contracts.test_recipe import GOOD, changed

TAUGHT = {"base": "policy", "data": "thoughts", "kind": "train"}
DPO = {**TAUGHT, "method": "dpo", "config": "preference"}
PRM = {**TAUGHT, "method": "prm", "config": "prm"}
LABELLED = changed("stages.thoughts.step_labels", "verdicts")


@pytest.mark.parametrize(
    "stage",
    [
        DPO,
        {**DPO, "beta": 0.3, "lora": {"rank": 8, "quantised": True}},
        {**DPO, "processes": 8, "accelerate": "zero3"},
        PRM,
        {**TAUGHT, "method": "grpo", "config": "journey", "generations": 4, "batch_size": 16},
        {**TAUGHT, "config": "journey", "learn_wrong_steps": False, "packing": True},
        {**TAUGHT, "config": "shortcut", "tokens_of": "journey"},
        {**TAUGHT, "config": "shortcut", "match_counts": False, "max_length": 99},
        {**TAUGHT, "method": "grpo", "config": "shortcut", "max_length": 999},
    ],
)
def test_what_goes_together(stage: dict[str, Any]) -> None:
    recipe = Recipe.model_validate(changed("stages.more", stage, LABELLED))
    assert recipe.order()[-1] == "more"


@pytest.mark.parametrize(
    ("stage", "named"),
    [
        ({**TAUGHT, "method": "dpo"}, "config: the method dpo trains on preference, not on `sft`"),
        ({**TAUGHT, "config": "preference"}, "config: the method sft trains on sft or journey or shortcut, not on `preference`"),
        ({**DPO, "packing": True}, "packing: the method dpo does not use it (these do: sft)"),
        ({**TAUGHT, "config": "journey", "beta": 0.1}, "beta: the method sft does not use it (these do: dpo, grpo)"),
        ({**TAUGHT, "config": "shortcut", "learn_wrong_steps": False}, "only `journey` has wrong steps, not `shortcut`"),
        ({**DPO, "beta": 0}, "beta: at 0 neither side of a pair is preferred"),
        ({**DPO, "processes": 3}, "batch_size: 8 cannot be shared by 3 processes"),
        ({**DPO, "micro_batch_size": 3}, "micro_batch_size: 3 does not divide a process's share of the batch, 8"),
        ({**DPO, "accelerate": "fsdp"}, "`fsdp` shards over several processes, and there is one"),
        ({**DPO, "accelerate": "zero3", "processes": 2, "lora": {}}, "an adapter is not sharded by zero3"),
        ({**TAUGHT, "method": "grpo", "config": "journey", "rollout": {"temperature": 0}}, "a temperature above 0"),
        ({**TAUGHT, "method": "grpo", "config": "journey", "rollout": {"max_tokens": 1024}}, "max_tokens below max_length"),
        ({**TAUGHT, "method": "grpo", "config": "journey", "batch_size": 12}, "12 completions are not whole groups"),
        ({**TAUGHT, "config": "shortcut", "tokens_of": "thoughts"}, "tokens_of: `thoughts` is a compile, not a train"),
        ({**TAUGHT, "config": "shortcut", "tokens_of": "more"}, "a cycle: more -> more"),
        ({**TAUGHT, "config": "shortcut", "max_length": 99}, "max_length: 1024 here, 99 in `more`, the other arm"),
    ],
)
def test_what_does_not(stage: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Recipe.model_validate(changed("stages.more", stage, LABELLED))
    assert named in str(refused.value)


def test_labels_are_asked_for_where_the_dataset_is_made() -> None:
    with pytest.raises(ValidationError, match="`prm` does not go with data of a compile stage"):
        Recipe.model_validate(changed("stages.more", PRM))


def again(judge: str) -> dict[str, Any]:
    """A second search, which a trained model judges."""
    reward = {"kind": "prm", "model": judge}
    return changed("stages.again", {"kind": "search", "policy": "policy", "problems": "few", "reward": reward}, LABELLED)


def test_a_trained_reward_model_judges_a_search_and_does_nothing_else() -> None:
    recipe = again("judge")
    recipe["stages"]["judge"] = PRM
    assert Recipe.model_validate(recipe).needs("again") == ("policy", "judge")
    with pytest.raises(ValidationError, match=r"reward.model: `journey` is no process reward model"):
        Recipe.model_validate(again("journey"))
    recipe["stages"]["measure"]["models"] = ["judge"]
    with pytest.raises(ValidationError, match="`judge` is a process reward model, which scores steps and does nothing else"):
        Recipe.model_validate(recipe)


def test_an_adapter_that_is_not_merged_serves_nobody() -> None:
    apart = changed("stages.journey.lora", {"merge": False}, GOOD)
    with pytest.raises(ValidationError, match="`journey` leaves an adapter, which no engine of ours serves"):
        Recipe.model_validate(apart)


TRIES = {
    **GOOD["stages"],
    "slow": {**TAUGHT, "config": "journey", "learning_rate": 1e-5},
    "tries": {"kind": "evaluate", "models": ["journey", "slow", "policy"], "problems": "few"},
    "best": {"kind": "pick", "measured": "tries", "models": ["journey", "slow"]},
    "again": {"kind": "retrain", "like": "best", "seed": 1},
    "matched": {"kind": "retrain", "like": "best", "seed": 1, "tokens_of": "again"},
    "elsewhere": {"kind": "retrain", "like": "best", "seed": 1, "data": "thoughts"},
    "final": {"kind": "evaluate", "models": ["again", "matched", "elsewhere"], "problems": "few"},
}


def test_what_was_picked_is_trained_again() -> None:
    recipe = Recipe.model_validate({**GOOD, "stages": TRIES})
    assert recipe.needs("again") == ("best",) and recipe.needs("final") == ("again", "matched", "elsewhere")
    assert recipe.needs("elsewhere") == ("best", "thoughts")
    training = recipe.training("again")
    assert training and (training.method, training.base) == ("sft", "policy")
    assert recipe.training("tries") is None and recipe.training("base") is None


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("best.models", ["journey", "base"], "stages.best.models.1: `base` is a model, not a train"),
        ("best.models", ["journey", "again"], "stages.best.models.1: `again` is a retrain, not a train"),
        ("best.models", ["journey", "policy"], "stages.best.models: they are not of one method and from one base: journey, policy"),
        ("tries.models", ["journey"], "stages.best.models.1: `tries` does not measure `slow`"),
        ("again.like", "tries", "stages.again.like: `tries` is a evaluate, not a pick"),
        ("elsewhere.data", "search", "stages.elsewhere.data: `search` is a search, not a import or reformat or"),
        ("elsewhere.data", "worked", "stages.elsewhere.data: `journey` does not go with data of a import stage (it gives: sft)"),
        ("measure.models", ["best"], "stages.measure.models.0: `best` is a pick, not a model or train or retrain"),
    ],
)
def test_what_cannot_be_picked(path: str, value: Any, named: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Recipe.model_validate(changed(f"stages.{path}", value, {**GOOD, "stages": TRIES}))
    assert named in str(refused.value)


def test_a_retrain_has_no_budget_that_its_method_would_not_look_at() -> None:
    grpo = {**TAUGHT, "method": "grpo", "config": "journey"}
    tries = {**TRIES, "journey": grpo, "slow": {**grpo, "learning_rate": 1e-6}}
    with pytest.raises(ValidationError, match=r"stages\.matched\.tokens_of: the method grpo does not use it"):
        Recipe.model_validate({**GOOD, "stages": tries})
