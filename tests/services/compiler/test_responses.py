"""Responses as samples and as pairs of a right and a wrong one."""

from collections import Counter
from math import lcm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compiler.compile import split_of
from services.compiler.responses import matched, response_pairs, samples
from shared.contracts.base import Origin
from shared.contracts.stages import CompileStage
from shared.contracts.stages.compile import ResponsePairs
from shared.contracts.thought import Example, Response

ORIGIN = Origin(run_id="r1", stage="taught", model="big", prompt="solve@1")


def response(draw, verified=True, text=None, problem="p1", **fields):
    stated = "18" if verified else "17"
    about = {"extracted": stated, "finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 2, "model": "big", **fields}
    return Response(
        id=f"{problem}#{draw}", problem_id=problem, question=f"How many in {problem}?", answer="18", origin=ORIGIN, draw=draw,
        text=text or f"Way {draw}: the answer is {stated}.", verified=verified, **about,
    )  # fmt: skip


def stage_of(**pairs):
    return CompileStage(data=("taught",), response_pairs=ResponsePairs(**pairs), test_share=0.3)


def paired(responses, seed=0, **pairs):
    skipped = Counter()
    return list(response_pairs(stage_of(**pairs), "taught", responses, seed, ORIGIN, skipped)), skipped


TWENTY = [response(draw, verified=draw % 2 == 0) for draw in range(20)]


def test_five_and_five_of_twenty_become_five_pairs():
    pairs, skipped = paired(TWENTY)
    assert len(pairs) == 5 and not skipped
    assert len({pair.chosen for pair in pairs}) == len({pair.rejected for pair in pairs}) == 5
    assert all("18" in pair.chosen and "17" in pair.rejected and not pair.prefix for pair in pairs)
    assert {pair.split for pair in pairs} == {split_of("How many in p1?", 0.3)}
    assert pairs == paired(TWENTY)[0] != paired(TWENTY, seed=1)[0]


@given(st.integers(1, 7), st.integers(1, 7), st.data())
def test_drawn_responses_stand_in_as_few_pairs_as_can_be(right, wrong, data):
    asked = ResponsePairs(right=right, wrong=wrong, pairs=data.draw(st.integers(1, right * wrong)))
    pairs = matched(asked)
    assert len(set(pairs)) == asked.pairs
    for side, count in ((0, right), (1, wrong)):
        uses = Counter(pair[side] for pair in pairs)
        assert max(uses.values()) - (min(uses.values()) if len(uses) == count else 0) <= 1
    assert lcm(right, wrong) % right == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"finish_reason": "length"}, "wrong"),
        ({"extracted": None}, "wrong"),
        ({"grading_error": "it hung"}, "wrong"),
        ({"text": "The answer is 17."}, "wrong"),
    ],
)
def test_nothing_is_held_to_be_wrong_that_nobody_knows_to_be(changes, reason):
    """Cut, without an answer, not graded, or twice the same."""
    right = [response(draw) for draw in range(2)]
    wrong = [response(2, False, text="The answer is 17."), response(3, False, **changes)]
    pairs, skipped = paired([*right, *wrong], right=2, wrong=2, pairs=2)
    assert not pairs and skipped == {f"pairs: fewer than 2 {reason} responses to a question": 1}


def test_a_translated_question_is_a_question_of_its_own():
    other = [one.model_copy(update={"id": f"{one.id}@Chinese", "question": "几支?", "text": one.text + "。"}) for one in TWENTY]
    pairs, _ = paired([*TWENTY, *other], right=2, wrong=2, pairs=2)
    assert Counter(pair.question for pair in pairs) == {"How many in p1?": 2, "几支?": 2}
    assert all(("。" in pair.chosen) == ("。" in pair.rejected) == (pair.question == "几支?") for pair in pairs)


def test_samples_are_the_verified_ones_and_every_other_is_counted():
    example = Example(id="p9", problem_id="p9", question="?", answer="1", origin=ORIGIN, text="The answer is 1.")
    given_ = [
        response(0),
        response(1, False),
        response(2, False, finish_reason="length"),
        response(3, False, grading_error="it hung"),
        example,
    ]
    skipped = Counter()
    found = list(samples(stage_of(), "taught", given_, skipped))
    assert [one.id for one in found] == ["taught/p1#0", "taught/p9"]
    assert {one.split for one in found} == {split_of(one.question, 0.3) for one in found}
    assert skipped == {
        "sft: a response that did not verify": 1, "sft: a response that was cut": 1, "sft: a response that could not be graded": 1
    }  # fmt: skip
