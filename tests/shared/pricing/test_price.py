"""Prices by hand, the plan's own items, and what holds for any recipe."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.conductor.plan import plan_stage
from shared.contracts.faults import KINDS
from shared.contracts.recipe import Recipe
from shared.contracts.stages import SEARCH_PARAMETERS
from shared.ledger.database import Ledger
from shared.ledger.problems import store_set
from shared.ledger.runs import NewStage, create_run
from shared.pricing.lengths import Measured, measure
from shared.pricing.price import STAGES, RecipePrice, price
from shared.pricing.ranges import Range, ranged
from shared.pricing.work import solve
from shared.problems.generate import generate
from tests.shared.pricing.priced import DISTILL, FLAT, IMPORT, PROMPT, SEARCH, SET, SIZES, SPEED, priced, recipe


def test_a_teacher_is_paid_by_the_token() -> None:
    found = priced(thoughts=DISTILL)["thoughts"]
    assert found.calls == ranged(640)  # four samples of a problem are one request
    assert found.prompt_tokens.expected == pytest.approx(640 * PROMPT)
    assert found.output_tokens.expected == 640 * 4 * 250
    assert found.endpoint_dollars.expected == pytest.approx((640 * PROMPT * 1.0 + 640 * 4 * 250 * 4.0) / 1e6)
    assert found.device_hours == ranged(0)


def test_rejection_sampling_that_stops_early() -> None:
    """2 wanted, of which every second verifies: 4 samples in 2 rounds; at least 2 in one, at most 6 in 5."""
    found = priced(thoughts={**DISTILL, "samples": 6, "accept": 2})["thoughts"]
    assert found.calls == Range(low=640, expected=640 * 2, high=640 * 5)
    assert found.output_tokens == Range(low=640 * 2 * 250, expected=640 * 4 * 250, high=640 * 6 * 250)


def test_what_a_teacher_gives_is_learned() -> None:
    """2 of 4 samples verify: 1,280; of half the problems one is reflective: 320."""
    found = priced(
        thoughts=DISTILL,
        chosen={"kind": "select", "responses": ["thoughts"]},
        all={"kind": "train", "base": "base", "data": "thoughts"},
        few={"kind": "train", "base": "base", "data": "chosen"},
        measure={
            "kind": "evaluate",
            "models": ["base", "few"],
            "problems": "heldout",
            "samples": 2,
            "sampling": {"max_tokens": 240},
        },
        measured={"train": SET, "heldout": SET.model_copy(update={"count": 100})},
    )
    assert found["all"].training_tokens.expected == pytest.approx(1280 * (PROMPT + 250))
    assert found["few"].training_tokens.expected == pytest.approx(320 * (PROMPT + 250))
    measure = found["measure"]
    assert measure.items == ranged(2 * 4 + 1)
    assert measure.calls == ranged(200)
    # the base writes as much as a solution, the checkpoint as it learned, but for max_tokens
    assert measure.output_tokens.expected == pytest.approx(100 * 2 * (200 + 240))
    assert measure.output_tokens.high == 100 * 2 * (240 + 240)


def test_a_search_by_hand() -> None:
    """4 steps deep, all rounds: 4 (1 + 2 x 3) = 28 steps of 50 tokens in 7 requests; at most w K D = 32 of 96 tokens."""
    found = priced(trees={**SEARCH, "sampling": {"max_tokens": 96}})["trees"]
    assert found.items == ranged(640)
    assert found.calls == Range(low=640, expected=640 * 7, high=640 * 8)
    assert found.output_tokens == Range(low=640 * 4 * 50, expected=640 * 28 * 50, high=640 * 32 * 96)
    # above the nodes asked stand 2 (0 + 1 + 2 + 3) = 12 steps in all
    assert found.prompt_tokens.expected == pytest.approx(640 * (7 * PROMPT + 12 * 50))
    hours = (found.prompt_tokens.expected / 4000 + found.output_tokens.expected / 1000) / 3600
    assert found.device_hours.expected == pytest.approx(hours)


def test_a_reward_model_reads_and_writes_nothing() -> None:
    found = priced(trees={**SEARCH, "reward": {"kind": "prm", "model": "judge"}, "sampling": {"max_tokens": 96}})["trees"]
    judge = found.asked[1]
    assert (judge.role, judge.model, judge.output_tokens) == ("reward", "judge", ranged(0))
    assert judge.calls.expected == 640 * 4  # a round is one request
    assert judge.prompt_tokens.expected == pytest.approx(640 * 28 * (50 + 50 * 2.5))  # the mean path has 2.5 steps


def test_a_critic_is_asked_about_every_step() -> None:
    found = priced(trees={**SEARCH, "reward": {"kind": "critic", "model": "teacher"}, "sampling": {"max_tokens": 96}})["trees"]
    critic = found.asked[1]
    assert critic.calls.expected == 640 * 28
    assert critic.output_tokens.expected == 640 * 28 * 50
    assert critic.dollars.expected == pytest.approx((critic.prompt_tokens.expected + 4 * critic.output_tokens.expected) / 1e6)
    assert found.endpoint_dollars == critic.dollars


def test_a_translation_asks_for_text_and_question() -> None:
    found = priced(thoughts=DISTILL, chinese={"kind": "translate", "responses": ["thoughts"], "teacher": "teacher"})["chinese"]
    assert found.items == ranged(80)  # 1,280 responses, 16 an item
    assert found.calls.expected == 1280 + 640


def test_an_unknown_set_is_assumed_and_says_so() -> None:
    found = priced(measured={}, data=IMPORT, part={"kind": "import", "problems": "heldout"})
    assert found["data"].items == ranged(5)  # 1,000 problems
    assert found["data"].assumed == ("problems", "question", "solution", "steps")
    assert found["part"].assumed == ("question", "solution", "steps")


def test_an_endpoint_without_a_price_is_named() -> None:
    bare = recipe(thoughts=DISTILL)
    free = bare.models["teacher"].model_copy(update={"price_per_million": (0.0, 0.0)})
    found = price(bare.model_copy(update={"models": {**bare.models, "teacher": free}}), SPEED, SIZES)
    assert found.unpriced == ("teacher",)
    assert price(bare, SPEED, SIZES).unpriced == ()


def test_every_kind_of_stage_has_a_price() -> None:
    assert set(STAGES) == set(KINDS)


RECIPES = sorted(Path(__file__).parents[3].glob("recipes/*.yaml"))


def known(body: Recipe) -> dict[str, Measured]:
    return {
        name: measure(generate(one.generator, one.seed, one.skip, min(one.count or 0, 50)), one.count or 0)
        for name, one in body.problems.items()
        if one.generator
    }


def whole(body: Recipe, **changes: Any) -> RecipePrice:
    return price(body, SPEED, dict.fromkeys(body.models, 135e6), 2.0, measured=changes.pop("measured", known(body)), **changes)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_the_recipes_that_come_along_have_a_price(path: Path) -> None:
    body = Recipe.model_validate(yaml.safe_load(path.read_text()))
    found = whole(body)
    assert [one.name for one in found.stages] == list(body.order())
    for field in ("calls", "prompt_tokens", "output_tokens", "training_tokens", "device_hours", "endpoint_dollars"):
        assert getattr(found, field).expected == pytest.approx(sum(getattr(one, field).expected for one in found.stages))
    assert found.dollars.expected == pytest.approx(found.endpoint_dollars.expected + 2.0 * found.device_hours.expected)
    assert RecipePrice.model_validate_json(found.model_dump_json()) == found


def test_part1_by_hand() -> None:
    body = Recipe.model_validate(yaml.safe_load((RECIPES[0].parent / "part1.yaml").read_text()))
    found = {one.name: one for one in price(body, SPEED, dict.fromkeys(body.models, 7e9), 0.0, FLAT, {}).stages}
    assert found["abel-solutions"].items == ranged(600)
    assert found["trees"].asked[0].output_tokens.high == 1000 * 3 * 3 * 10 * 256
    # 327 samples, 3 epochs, of a question of 80 tokens, the words around it and a solution of 250; of four long thoughts three
    # hold wrong turns, which double it, and every second checks of one or two of its 8 steps
    around, thought = 80 + solve(), 250 * (1 + 0.75 + 0.5 * 1.5 / 8)
    assert found["abel-shortcut"].training_tokens.expected == pytest.approx(327 * 3 * (around + 250))
    assert found["prm800k-journey"].training_tokens.expected == pytest.approx(327 * 3 * (around + thought))
    # 20 responses, each as long as a long thought, to every question; 5 pairs of 40% of the questions
    assert found["abel-responses"].output_tokens.expected == pytest.approx(12_000 * 20 * thought)
    assert found["abel-dpo"].training_tokens.expected == pytest.approx(0.4 * 12_000 * 5 * 2 * (around + thought))
    assert found["from-abel"].items == ranged(4 * 16 + 1)


FIGURES = ("calls", "prompt_tokens", "output_tokens", "training_tokens", "device_hours", "endpoint_dollars", "dollars")


def never_less(less: RecipePrice, more: RecipePrice) -> None:
    for field in FIGURES:
        one, other = getattr(less, field), getattr(more, field)
        for figure in ("low", "expected", "high"):
            assert getattr(one, figure) <= getattr(other, figure) * (1 + 1e-9) + 1e-9, (field, figure)


@settings(max_examples=60)
@given(st.sampled_from(RECIPES), st.integers(1, 3000), st.integers(0, 3000))
def test_more_problems_never_cost_less(path: Path, count: int, more: int) -> None:
    body = yaml.safe_load(path.read_text())

    def sized(size: int) -> RecipePrice:
        changed = copy.deepcopy(body)
        for source in changed["problems"].values():
            source["count"] = size
        return whole(Recipe.model_validate(changed), measured={})

    never_less(sized(count), sized(count + more))


GROWING = ("width", "keep", "max_depth", "retries", "subtrees", "chains", "simulations", "turns")


@settings(max_examples=100)
@given(st.sampled_from(["beam", "dvts", "best_of_n", "mcts", "propose_critique", "debate"]), st.sampled_from(GROWING), st.data())
def test_a_larger_search_has_no_lower_bound(strategy: str, grown: str, data: st.DataObject) -> None:
    used = (SEARCH_PARAMETERS[strategy] | {"max_depth"}) & set(GROWING)
    if grown not in used:
        return
    fields: dict[str, Any] = {name: data.draw(st.integers(2, 9), label=name) for name in sorted(used)}
    stage = {**SEARCH, "strategy": strategy, **({"critic": "teacher"} if strategy == "debate" else {})}
    for name in ("width", "keep", "max_depth", "retries"):
        stage.pop(name, None)
    less = priced(trees={**stage, **fields})["trees"]
    more = priced(trees={**stage, **fields, grown: fields[grown] + data.draw(st.integers(0, 5))})["trees"]
    assert less.calls.high <= more.calls.high * (1 + 1e-9) or grown == "width"  # a wider request asks for more at once
    assert less.output_tokens.high <= more.output_tokens.high * (1 + 1e-9)


@settings(max_examples=30)
@given(st.sampled_from(RECIPES), st.floats(1.0, 10.0))
def test_a_faster_device_never_takes_longer(path: Path, by: float) -> None:
    body = Recipe.model_validate(yaml.safe_load(path.read_text()))
    fast = SPEED.model_copy(update={"engine": SPEED.engine * by, "train": SPEED.train * by})
    sizes = dict.fromkeys(body.models, 7e9)
    never_less(price(body, fast, sizes, 1.0), price(body, SPEED, sizes, 1.0))


def test_items_are_those_of_the_conductor(ledger: Ledger) -> None:
    count = 437
    store_set(ledger, "sums", [{"id": f"p{n}", "question": f"1 + {n}?", "answer": str(n + 1), "version": 1} for n in range(count)])
    body = recipe(
        data=IMPORT,
        trees=SEARCH,
        thoughts=DISTILL,
        rewritten={"kind": "reformat", "problems": "train", "teacher": "teacher"},
        curated={"kind": "curate", "problems": "train"},
        judged={"kind": "eval_reward", "problems": "train"},
        measure={"kind": "evaluate", "models": ["base", "teacher"], "problems": "train"},
        chosen={"kind": "select", "responses": ["thoughts"]},
    )
    body = body.model_copy(update={"problems": {"train": body.problems["train"].model_copy(update={"set": "sums"})}})
    stages = [NewStage(name, body.stages[name].kind, body.needs(name), 0) for name in body.order()]
    run, _ = create_run(ledger, "r", body.model_dump(mode="json"), stages, None, "", {"sums"}, None)
    sums = measure(generate("arithmetic", 7, 0, 1), count)
    for one in price(body, SPEED, SIZES, measured={"train": sums}).stages:
        assert one.items == ranged(len(plan_stage(ledger, run, body, one.name))), one.name
    ledger.close()
