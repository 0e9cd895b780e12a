"""Which records are trained on: verified, of split train, and equally many of either arm."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer import gather as module
from services.trainer.gather import limited, matched
from services.trainer.job import Pair, Sample, Steps
from shared.contracts.base import Origin
from shared.contracts.recipe import ARMS, Recipe
from shared.contracts.thought import (
    Example,
    LongThought,
    PreferencePair,
    Response,
    Role,
    Shortcut,
    Span,
    StepLabels,
    Trainable,
)
from shared.work.context import Work
from shared.work.registry import Hopeless

ORIGIN = Origin(run_id="r", stage="s")


def common(number: int, problem: str, split: str = "train") -> dict[str, Any]:
    return {
        "id": f"{problem}#{number}",
        "problem_id": problem,
        "question": "What is 2 + 3?",
        "answer": "5",
        "split": split,
        "origin": ORIGIN,
    }


def thought(number: int, problem: str, split: str = "train") -> LongThought:
    span = Span(text="The answer is 5.", role=Role.CONCLUSION, node_id=1)
    return LongThought(**common(number, problem, split), tree_id="t", spans=(span,), leaf_id=1, refiner="template")


def shortcut(number: int, problem: str) -> Shortcut:
    span = Span(text="The answer is 5.", role=Role.CONCLUSION, node_id=1)
    return Shortcut(**common(number, problem), tree_id="t", spans=(span,), leaf_id=1)


def response(problem: str, verified: bool) -> Response:
    return Response(
        **common(0, problem),
        text=f"The answer is {5 if verified else 6}.",
        model="m",
        finish_reason="stop",
        verified=verified,
        prompt_tokens=1,
        completion_tokens=1,
    )


async def gather(work: Work) -> list[Any]:
    return list(await module.gather(work, work.stage))


Records = Mapping[str, Sequence[Trainable | PreferencePair | StepLabels]]


class Lease:
    stage = "teach"


class FakeWork:
    """What `gather` asks of a Work, over records in memory."""

    lease = Lease()

    def __init__(self, train: dict[str, Any], records: Records, compiled: bool = True, compared: bool = True) -> None:
        other = ARMS.get(train.get("config", "")) if compared else None
        stages = {
            "grow": {"kind": "search", "problems": "p", "policy": "base"},
            "data": {"kind": "compile", "trees": "grow", "step_labels": "verdicts"}
            if compiled
            else {"kind": "import", "problems": "p"},
            "teach": {"kind": "train", "base": "base", "data": "data", **train},
            **({"other": {"kind": "train", "base": "base", "data": "data", "config": other}} if other else {}),
        }
        self.recipe = Recipe.model_validate(
            {"name": "t", "models": {"base": {"model": "m"}}, "problems": {"p": {"set": "p"}}, "stages": stages}
        )
        self.stage = self.recipe.stages["teach"]
        self._records = records

    async def records(self, stage: str, kind: str) -> list[dict[str, Any]]:
        assert stage == "data"
        return [record.model_dump(mode="json") for record in self._records.get(kind, [])]


async def test_sft_takes_examples_and_verified_responses_of_split_train():
    examples = [Example(**common(0, "a"), text="The answer is 5."), Example(**common(0, "b", "test"), text="The answer is 5.")]
    work = FakeWork({}, {"example": examples, "response": [response("c", True), response("d", False)]}, compiled=False)
    samples = await gather(cast(Work, work))
    assert [sample.id for sample in samples] == ["a#0", "c#0"]
    assert samples[0].prompt.startswith("What is 2 + 3?") and "The answer is X." in samples[0].prompt
    assert samples[0].completion == "The answer is 5."


async def test_an_imported_chat_is_trained_on_as_it_is():
    turns = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 3?"})
    chat = Example(**common(0, "a"), text="5.", chat=turns)
    (sample,) = cast(list[Sample], await gather(cast(Work, FakeWork({}, {"example": [chat]}, compiled=False))))
    assert sample.turns == [dict(turn) for turn in turns] and sample.completion == "5."


async def test_both_arms_train_on_the_same_problems_equally_often():
    records: Records = {
        "thought": [thought(0, "a"), thought(1, "a"), thought(0, "b"), thought(0, "c"), thought(0, "e", "test")],
        "shortcut": [shortcut(0, "a"), shortcut(0, "b"), shortcut(1, "b"), shortcut(0, "d"), shortcut(0, "e")],
    }
    journey = await gather(cast(Work, FakeWork({"config": "journey"}, records)))
    control = await gather(cast(Work, FakeWork({"config": "shortcut"}, records)))
    assert [sample.problem_id for sample in journey] == ["a", "b"] == [sample.problem_id for sample in control]
    winding, direct = cast(list[Sample], journey), cast(list[Sample], control)
    assert [one.beside for one in winding] == [one.completion for one in direct], "too long in one arm, left out of both"
    assert [one.beside for one in direct] == [one.completion for one in winding]
    alone = FakeWork({"config": "shortcut"}, records, compared=False)
    assert {one.beside for one in cast(list[Sample], await gather(cast(Work, alone)))} == {""}, "nobody is compared with it"
    unmatched = await gather(cast(Work, FakeWork({"config": "journey", "match_counts": False}, records)))
    assert [sample.id for sample in unmatched] == ["a#0", "a#1", "b#0", "c#0"]


async def test_wrong_steps_are_read_but_not_learned_where_the_recipe_says_so():
    texts = [("Step 1: 2 + 3 = 6.\n", Role.WRONG_STEP), ("No. ", Role.REFLECTION), ("The answer is 5.", Role.CONCLUSION)]
    spans = tuple(Span(text=text, role=role, node_id=1) for text, role in texts)
    winding = LongThought(**common(0, "a"), tree_id="t", spans=spans, leaf_id=1, refiner="template")
    for learned, parts in ((True, ()), (False, ((0, 18),))):
        train = {"config": "journey", "match_counts": False, "learn_wrong_steps": learned}
        (sample,) = cast(list[Sample], await gather(cast(Work, FakeWork(train, {"thought": [winding]}))))
        assert sample.unlearned == parts
        assert [sample.completion[start:stop] for start, stop in parts] in ([], ["Step 1: 2 + 3 = 6."])


async def test_pairs_and_labels_become_rows():
    sides = {"chosen": "Step 2: right.", "rejected": "Step 2: wrong."}
    shared = {"problem_id": "a", "question": "What is 2 + 3?", "origin": ORIGIN}
    step = PreferencePair(id="a#1-2", prefix="Step 1: so.\n", **sides, tree_id="t", **shared)
    whole = PreferencePair(id="b#1-2", **sides, **shared)
    held_out = PreferencePair(id="c#1-2", **sides, split="test", **shared)
    rows = await gather(cast(Work, FakeWork({"method": "dpo", "config": "preference"}, {"pair": [step, whole, held_out]})))
    assert [(row.id, row.prefix, row.whole) for row in cast(list[Pair], rows)] == [
        ("a#1-2", "Step 1: so.\n", False),
        ("b#1-2", "", True),
    ]
    labels = StepLabels(
        id="a#2", tree_id="t", steps=("Step 1: so.", "Step 2: no."), labels=(True, False), node_ids=(1, 2), how="verdicts", **shared
    )
    (row,) = cast(list[Steps], await gather(cast(Work, FakeWork({"method": "prm", "config": "prm"}, {"steps": [labels]}))))
    assert (row.question, row.steps, row.labels) == ("What is 2 + 3?", labels.steps, labels.labels)


@pytest.mark.parametrize(
    ("train", "records", "words"),
    [
        ({"config": "journey"}, {}, ["stages.teach", "0 usable `thought` records", "`data`", "match_counts"]),
        ({"config": "journey"}, {"thought": [thought(0, "a")]}, ["1 usable `thought` records", "0 usable shortcut records"]),
        ({"config": "shortcut", "match_counts": False}, {}, ["0 usable `shortcut` records", "search more problems"]),
        ({"method": "dpo", "config": "preference"}, {}, ["0 usable `pair` records", "search more problems"]),
        ({"method": "prm", "config": "prm"}, {}, ["0 usable `steps` records", "label by `values`"]),
    ],
)
async def test_an_empty_dataset_is_hopeless_and_says_what_is_missing(train, records, words):
    with pytest.raises(Hopeless) as error:
        await gather(cast(Work, FakeWork(train, records)))
    assert all(word in str(error.value) for word in words), str(error.value)


@given(st.lists(st.sampled_from("abcdef"), max_size=20), st.lists(st.sampled_from("abcdef"), max_size=20), st.integers(1, 12))
def test_matching_and_limiting_keep_the_arms_equal(mine, theirs, most):
    thoughts = [thought(number, problem) for number, problem in enumerate(mine)]
    shortcuts = [shortcut(number, problem) for number, problem in enumerate(theirs)]
    forth, back = matched(thoughts, shortcuts), matched(shortcuts, thoughts)
    assert {one: partner.id for one, partner in forth.items()} == {partner.id: one for one, partner in back.items()}
    left = [record for record in thoughts if record.id in forth]
    right = [record for record in shortcuts if record.id in back]
    left, right = limited(left, None, 7), limited(right, None, 7)
    problems = [record.problem_id for record in left]
    assert problems == [record.problem_id for record in right]
    assert all(problems.count(problem) == min(mine.count(problem), theirs.count(problem)) for problem in set(mine))
    few, other = limited(left, most, 7), limited(right, most, 7)
    assert len(few) == min(most, len(left))
    assert [record.problem_id for record in few] == [record.problem_id for record in other]
