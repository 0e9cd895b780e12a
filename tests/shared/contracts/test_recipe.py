"""Recipes: what is refused, and that the message names the place."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from shared.contracts.recipe import Recipe
from shared.contracts.stages import SearchStage

GOOD: dict[str, Any] = {
    "name": "tiny",
    "models": {"base": {"model": "m"}, "far": {"model": "m", "url": "http://127.0.0.1:1/v1"}},
    "problems": {"few": {"generator": "arithmetic", "count": 3}},
    "stages": {
        "worked": {"kind": "import", "problems": "few"},
        "policy": {"kind": "train", "base": "base", "data": "worked"},
        "search": {"kind": "search", "policy": "policy", "problems": "few"},
        "thoughts": {"kind": "compile", "trees": "search"},
        "journey": {"kind": "train", "base": "policy", "data": "thoughts", "config": "journey"},
        "measure": {"kind": "evaluate", "models": ["base", "journey"], "problems": "few"},
    },
}


def changed(path: str, value: Any, good: dict[str, Any] = GOOD) -> dict[str, Any]:
    """`good` with one value set at a dotted path (a level it lacks is made)."""
    import copy

    recipe = copy.deepcopy(good)
    *folders, last = path.split(".")
    place = recipe
    for folder in folders:
        place = place.setdefault(folder, {})
    place[last] = value
    return recipe


def test_order_and_needs_follow_from_the_fields() -> None:
    recipe = Recipe.model_validate(GOOD)
    assert recipe.order() == ("worked", "policy", "search", "thoughts", "journey", "measure")
    assert recipe.needs("measure") == ("journey",)
    assert recipe.needs("journey") == ("policy", "thoughts")


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("stages.search.widht", 3, "widht"),
        ("stages.search.width", "many", "width"),
        ("stages.search.width", 1, "greater than or equal to 2"),
        ("stages.search.policy", "polcy", "stages.search.policy: nothing is named `polcy`"),
        ("stages.search.policy", "worked", "stages.search.policy: `worked` is a import"),
        ("stages.search.problems", "many", "stages.search.problems: no problem source `many`"),
        ("stages.search.needs", ["later"], "stages.search.needs: no stage `later`"),
        ("stages.worked.needs", ["measure"], "a cycle: worked -> measure -> journey -> policy -> worked"),
        ("stages.policy.base", "far", "is an endpoint, which cannot be trained"),
        ("stages.journey.config", "sft", "`sft` does not go with data of a compile stage"),
        ("stages.thoughts.refiner", {"kind": "llm"}, "`model` goes with kind `llm`"),
        ("models.search", {"model": "m"}, "models and stages share names: search"),
        ("problems.few", {"generator": "arithmetic"}, "a generator needs `count`"),
        ("problems.few", {"set": "a", "generator": "arithmetic", "count": 1}, "either `set` or `generator`"),
        ("stages", {}, "at least 1"),
        ("stages.preflight", {"kind": "import", "problems": "few"}, "stages.preflight: every run has a stage of this name already"),
        ("stages.measure.models", ["base", "journey", "base"], "models: `base` is named more than once"),
        (
            "stages.taught",
            {"kind": "distill", "problems": "few", "teacher": "far", "samples": 2, "accept": 3},
            "accept: 3 of 2 samples can never verify",
        ),
        ("name", "Not A Name", "name"),
        ("version", 2, "version"),
    ],
)  # fmt: skip
def test_what_is_refused_names_its_place(path: str, value: Any, named: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Recipe.model_validate(changed(path, value))
    assert named in str(refused.value)


def test_json_round_trip() -> None:
    recipe = Recipe.model_validate(GOOD)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


PRM = {"model": "org/prm", "prm": "skywork"}
WEIGHTED = [{"kind": "arithmetic"}, {"kind": "prm", "model": "judge"}]


@pytest.mark.parametrize("reward", [{"kind": "prm", "model": "judge"}, {"kind": "weighted", "parts": WEIGHTED}])
def test_a_process_reward_model_judges(reward: dict[str, Any]) -> None:
    recipe = changed("models.judge", PRM)
    recipe["stages"]["search"]["reward"] = reward
    (role,) = set(Recipe.model_validate(recipe).stages["search"].roles()) - {"policy"}
    assert role == ("reward" if reward["kind"] == "prm" else "reward.1")


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("search.reward", {"kind": "prm", "model": "base"}, "stages.search.reward.model: `base` is no process reward model"),
        ("search.reward", {"kind": "prm", "model": "policy"}, "stages.search.reward.model: `policy` is no process reward model"),
        ("search.reward", {"kind": "prm", "model": "juge"}, "stages.search.reward.model: nothing is named `juge`"),
        (
            "search.reward",
            {"kind": "weighted", "parts": [*WEIGHTED, {"kind": "prm", "model": "base"}]},
            "stages.search.reward.parts.2.model: `base` is no process reward model",
        ),
        ("search.reward", {"kind": "critic", "model": "judge"}, "stages.search.reward.model: `judge` is a process reward model"),
        ("search.policy", "judge", "stages.search.policy: `judge` is a process reward model, which scores steps and does nothing"),
        ("policy.base", "judge", "stages.policy.base: `judge` is a process reward model"),
        ("measure.models", ["base", "judge"], "stages.measure.models.1: `judge` is a process reward model"),
        ("thoughts.refiner", {"kind": "llm", "model": "judge"}, "stages.thoughts.refiner.model: `judge` is a process reward model"),
        ("taught", {"kind": "distill", "problems": "few", "teacher": "judge"}, "stages.taught.teacher: `judge` is a process"),
    ],
)  # fmt: skip
def test_a_process_reward_model_does_nothing_else(path: str, value: Any, named: str) -> None:
    recipe = changed(f"stages.{path}", value)
    recipe["models"]["judge"] = PRM
    with pytest.raises(ValidationError) as refused:
        Recipe.model_validate(recipe)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"strategy": "dvts", "keep": 3}, "keep: the strategy dvts does not use it (these do: beam)"),
        ({"strategy": "best_of_n", "stop_after": 1}, "stop_after: the strategy best_of_n does not use it"),
        ({"strategy": "beam", "simulations": 8}, "simulations: the strategy beam does not use it (these do: mcts)"),
        ({"strategy": "debate"}, "critic: the strategy debate needs one"),
        ({"strategy": "beam", "critic": "m"}, "critic: the strategy beam does not use it (these do: debate)"),
        ({"strategy": "beam", "sampling": {"temperature": 0}}, "at 0 all samples are equal, and beam needs different ones"),
        ({"reward": {"kind": "critic"}}, "`model` goes with the kinds prm and critic"),
        ({"reward": {"kind": "weighted"}}, "`parts` go with the kind weighted"),
    ],
)
def test_a_search_is_refused_that_would_not_do_what_it_says(fields, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        SearchStage.model_validate({"problems": "p", "policy": "m", **fields})


def test_a_search_stage_survives_being_written_with_all_its_defaults():
    stage = SearchStage(problems="p", policy="m", strategy="mcts", simulations=5)
    assert SearchStage.model_validate(stage.model_dump(mode="json")) == stage


FAR = {"teacher": "far"}
DATA_STAGES: dict[str, Any] = {
    "kept": {"kind": "curate", "problems": "few", "decontaminate": {"against": ["few"]}, "difficulty": {"measured": "before"}},
    "before": {"kind": "evaluate", "models": ["base"], "problems": "few"},
    "rewritten": {"kind": "reformat", "problems": "kept", **FAR},
    "taught": {"kind": "distill", "problems": "kept", **FAR},
    "sketched": {"kind": "annotate", "problems": "few", **FAR},
    "chosen": {"kind": "select", "responses": ["taught", "sketched"]},
    "mixed": {"kind": "translate", "responses": ["chosen"], **FAR},
    "labelled": {"kind": "import", "problems": "few", "format": "trees"},
    "set": {"kind": "compile", "trees": "labelled", "data": ["rewritten", "mixed"], "step_labels": "verdicts"},
}


def test_data_stages_lead_from_curation_to_a_dataset() -> None:
    recipe = Recipe.model_validate({**GOOD, "stages": DATA_STAGES})
    assert recipe.needs("kept") == ("before",)
    assert recipe.needs("rewritten") == ("kept",)
    assert recipe.needs("set") == ("labelled", "rewritten", "mixed")
    assert set(recipe.behind("set")) == set(DATA_STAGES) - {"set"}
    assert recipe.behind("chosen") == ("before", "kept", "taught", "sketched")
    assert recipe.source_of("kept") == recipe.source_of("few") == recipe.problems["few"]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("rewritten.problems", "taught", "stages.rewritten.problems: `taught` is a stage that gives no problems"),
        ("kept.decontaminate.against", ["kept"], "stages.kept.decontaminate.against.0: `kept` is a stage that gives no problems"),
        ("kept.decontaminate.against", ["many"], "stages.kept.decontaminate.against.0: no problem source `many`"),
        ("kept.difficulty.measured", "taught", "stages.kept.difficulty.measured: `taught` is a distill, not a evaluate"),
        ("kept.difficulty.model", "far", "stages.kept.difficulty.model: name one of base"),
        ("kept.difficulty.at_least", 0.95, "at_least: 0.95 is above at_most"),
        ("before.problems", "kept", "stages.kept.difficulty.measured: `before` measures `kept`, not `few`"),
        (
            "before",
            {"kind": "evaluate", "problems": "few", "regrade": {"run": "r", "stage": "s"}},
            "stages.kept.difficulty.measured: `before` regrades an earlier run: name the model in its `models`",
        ),
        ("chosen.responses", ["labelled"], "stages.chosen.responses.0: `labelled` is a import, not a distill"),
        ("set.trees", "taught", "stages.set.trees: `taught` is a distill, not a search or import"),
        ("set.data", ["labelled"], "stages.set.data.0: `labelled` imports trees, not samples"),
        ("labelled.format", "solutions", "stages.set.trees: `labelled` imports samples, not trees"),
        ("set.trees", None, "step_labels: they are made of trees"),
        ("set", {"kind": "compile"}, "there is nothing to compile"),
        ("set", {"kind": "compile", "trees": "labelled", "response_pairs": {}}, "response_pairs: they are made of responses"),
        ("few", {"kind": "curate", "problems": "few"}, "stages.few: a problem source has this name"),
    ],
)  # fmt: skip
def test_data_stages_that_do_not_fit(path: str, value: Any, named: str) -> None:
    recipe = changed(f"stages.{path}", value, {**GOOD, "stages": DATA_STAGES})
    with pytest.raises(ValidationError) as refused:
        Recipe.model_validate(recipe)
    assert named in str(refused.value)
