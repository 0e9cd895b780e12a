"""Prices of what is compiled, learned and measured, by hand."""

from typing import Any

import pytest

from shared.pricing.ranges import Range, ranged
from tests.shared.pricing.priced import DISTILL, IMPORT, PROMPT, SEARCH, priced


def test_a_training() -> None:
    found = priced(hour=2.0, data=IMPORT, sft={"kind": "train", "base": "base", "data": "data", "epochs": 3, "max_length": 4096})
    assert found["data"].items == ranged(4)  # 640 problems, 200 an item
    expected = 640 * 3 * (PROMPT + 200)
    assert found["sft"].training_tokens.expected == pytest.approx(expected)
    assert found["sft"].device_hours.expected == pytest.approx(expected / 500 / 3600)
    assert found["sft"].device_dollars.expected == pytest.approx(2 * expected / 500 / 3600)
    assert found["sft"].endpoint_dollars.high == 0


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"max_samples": 100}, 100 * (PROMPT + 200)),
        ({"max_samples": 10_000}, 640 * (PROMPT + 200)),
        ({"max_length": 128}, 640 * 128),
        ({"epochs": 0.5}, 320 * (PROMPT + 200)),
    ],
)
def test_what_bounds_a_training(fields: dict[str, Any], tokens: float) -> None:
    found = priced(data=IMPORT, sft={"kind": "train", "base": "base", "data": "data", **fields})
    assert found["sft"].training_tokens == ranged(found["sft"].training_tokens.low)
    assert found["sft"].training_tokens.expected == pytest.approx(tokens)


PAIRS = {"kind": "compile", "data": ["thoughts"], "response_pairs": {}}


@pytest.mark.parametrize(
    ("fields", "operations"),
    [
        ({"method": "sft", "data": "thoughts"}, 6),
        ({"method": "sft", "data": "thoughts", "lora": {}}, 4),
        ({"method": "dpo", "config": "preference"}, 8),
        ({"method": "dpo", "config": "preference", "lora": {}}, 6),
    ],
)
def test_operations_of_a_training(fields: dict[str, Any], operations: int) -> None:
    """2 of 4 samples verify, 1,280 in all; 5 pairs of both sides of 40% of 640 problems."""
    found = priced(thoughts=DISTILL, pairs=PAIRS, tuned={"kind": "train", "base": "base", "data": "pairs", **fields})["tuned"]
    samples = 1280 if fields["method"] == "sft" else 0.4 * 640 * 5 * 2
    assert found.training_tokens.expected == pytest.approx(samples * (PROMPT + 250))
    assert found.device_hours.expected == pytest.approx(found.training_tokens.expected * operations / 6 / 500 / 3600)


def test_a_training_of_as_many_tokens() -> None:
    base = {"kind": "train", "base": "base", "data": "data"}
    found = priced(data=IMPORT, one={**base, "epochs": 2, "max_samples": 50}, other={**base, "tokens_of": "one"})
    assert found["other"].training_tokens == found["one"].training_tokens
    assert found["other"].notes == ("as many tokens as one",)


def test_rollouts_of_grpo() -> None:
    rl = {"kind": "train", "base": "base", "data": "data", "method": "grpo", "generations": 4, "rollout": {"max_tokens": 150}}
    found = priced(data=IMPORT, rl=rl)["rl"]
    assert found.output_tokens.expected == 640 * 4 * 150  # 200, but for max_tokens
    assert found.training_tokens.expected == pytest.approx(640 * 4 * (PROMPT + 150))


def test_a_training_that_is_repeated_on_other_data() -> None:
    one = {"kind": "train", "base": "base", "data": "data"}
    tries = {"kind": "evaluate", "models": ["one"], "problems": "heldout"}
    pick = {"kind": "pick", "measured": "tries", "models": ["one"]}
    again = {"kind": "retrain", "like": "best", "seed": 0}
    found = priced(data=IMPORT, more=DISTILL, one=one, tries=tries, best=pick, same=again, other={**again, "data": "more"})
    assert found["same"].training_tokens == ranged(0), "nothing is trained twice"
    assert found["other"].training_tokens.expected == pytest.approx(1280 * (PROMPT + 250))


def test_a_training_that_is_repeated_samples_as_often() -> None:
    rl = {"kind": "train", "base": "base", "data": "data", "method": "grpo", "generations": 4, "rollout": {"max_tokens": 150}}
    tries = {"kind": "evaluate", "models": ["rl", "longer"], "problems": "heldout"}
    pick = {"kind": "pick", "measured": "tries", "models": ["rl", "longer"]}
    longer = {**rl, "epochs": 2}
    found = priced(data=IMPORT, rl=rl, longer=longer, tries=tries, best=pick, again={"kind": "retrain", "like": "best", "seed": 1})
    assert found["again"].calls == Range(low=640, expected=960, high=1280)
    assert found["again"].output_tokens.expected == 1.5 * found["rl"].output_tokens.expected
    assert found["again"].device_hours.expected > found["rl"].device_hours.expected
    same = priced(data=IMPORT, rl=rl, longer=longer, tries=tries, best=pick, again={"kind": "retrain", "like": "best", "seed": 0})
    assert same["again"].device_hours == same["again"].output_tokens == ranged(0), "with the tries' own seed it is one of them"


def test_a_budget_bounds_an_answer() -> None:
    stage = {"kind": "evaluate", "models": ["base"], "problems": "train", "budget": 80, "answer_tokens": 20, "waits": 2}
    found = priced(measure={**stage, "samples": 1, "sampling": {"max_tokens": 240}})["measure"]
    assert found.output_tokens == ranged(640 * 100)


def test_a_regrading_asks_nobody() -> None:
    found = priced(again={"kind": "evaluate", "problems": "train", "regrade": {"run": "r", "stage": "measure"}})["again"]
    assert (found.calls, found.output_tokens, found.asked) == (ranged(0), ranged(0), ())


def test_a_reward_reads_every_sample_with_its_question() -> None:
    """Two models' 3 samples of 640 problems, each of 200 tokens behind a question of 50 and a chat's 30."""
    stage = {"kind": "evaluate", "models": ["base", "teacher"], "problems": "train", "samples": 3, "sampling": {"max_tokens": 240}}
    plain, found = priced(measure=stage)["measure"], priced(measure={**stage, "reward": "judge"})["measure"]
    assert found.asked[:2] == plain.asked
    [reward] = found.asked[2:]
    assert (reward.role, reward.model, reward.calls, reward.output_tokens) == ("reward", "judge", ranged(2 * 3 * 640), ranged(0))
    assert reward.prompt_tokens.expected == pytest.approx(2 * 3 * 640 * (50 + 30 + 200))
    assert reward.prompt_tokens.high == pytest.approx(2 * 3 * 640 * (50 + 30 + 240))
    assert reward.device_hours.expected == pytest.approx(reward.prompt_tokens.expected / 4000 / 3600)
    assert found.prompt_tokens.expected == pytest.approx(plain.prompt_tokens.expected + reward.prompt_tokens.expected)


def test_a_judge_reads_every_sample_and_answers() -> None:
    stage = {"kind": "evaluate", "models": ["base"], "problems": "train", "samples": 3, "sampling": {"max_tokens": 240}}
    plain, found = priced(measure=stage)["measure"], priced(measure={**stage, "judge": "teacher"})["measure"]
    assert found.asked[:1] == plain.asked
    [judge] = found.asked[1:]
    assert (judge.role, judge.model) == ("judge", "teacher")
    assert judge.calls.expected == 3 * 640, "nothing is asked again here, as the assumptions say"
    assert judge.output_tokens.expected == pytest.approx(3 * 640 * 50)
    assert judge.prompt_tokens.expected > 3 * 640 * (50 + 200 + 100), "question, answer and the rubric's words"
    assert any("judged by teacher" in note for note in found.notes)


def test_trees_become_thoughts() -> None:
    """Every second of 640 trees is solved; wrong turns make each thought twice as long as its shortcut."""
    train = {"kind": "train", "base": "base", "epochs": 3}
    found = priced(
        trees=SEARCH,
        set={"kind": "compile", "trees": "trees", "test_share": 0.5, "clean_share": 0, "verify_share": 0},
        journey={**train, "data": "set", "config": "journey"},
        shortcut={**train, "data": "set", "config": "shortcut", "max_samples": 30},
    )
    assert found["set"].items == ranged(4 + 1)
    assert found["journey"].training_tokens.expected == pytest.approx(3 * 160 * (PROMPT + 400))
    assert found["shortcut"].training_tokens.expected == pytest.approx(3 * 30 * (PROMPT + 200))


@pytest.mark.parametrize(
    ("fields", "times"),
    [
        ({"wrong_trials": 0, "verify_share": 0}, 1),
        ({"clean_share": 0.25, "verify_share": 0}, 1 + 0.75),
        ({"wrong_trials": 0, "verify_share": 0.5, "verify_steps": "all"}, 1 + 0.5),
        ({"wrong_trials": 0, "verify_share": 1, "verify_steps": "some"}, 1 + 1.5 / 4),  # one or two of 4 steps
        ({"clean_share": 0, "verify_share": 1, "verify_steps": "all"}, 3),
    ],
)
def test_a_thought_is_as_long_as_what_it_holds(fields: dict[str, Any], times: float) -> None:
    """Wrong turns double it here, and so do checks of all its steps."""
    found = priced(
        trees=SEARCH,
        set={"kind": "compile", "trees": "trees", **fields},
        journey={"kind": "train", "base": "base", "data": "set", "config": "journey"},
    )
    assert found["journey"].training_tokens.expected == pytest.approx(320 * (PROMPT + 200 * times))


def test_a_rewriting_refiner_is_priced() -> None:
    refiner = {"kind": "llm", "model": "teacher", "reflect": False, "sampling": {"max_tokens": 300}}
    found = priced(
        trees=SEARCH, set={"kind": "compile", "trees": "trees", "clean_share": 0, "verify_share": 0, "refiner": refiner}
    )["set"]
    assert found.calls.expected == 320
    assert found.output_tokens.expected == 320 * 300  # 400, but for max_tokens
