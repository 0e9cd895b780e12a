"""A rewrite may say things otherwise, but nothing new: by hand, and by damage done to faithful rewrites."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compiler.checks import align, check, split
from services.compiler.claims import new_claims
from services.compiler.template import template
from services.compiler.traverse import Manner, Piece, walk
from shared.contracts.thought import Role
from tests.services.compiler.test_checks import DRAFT, GOOD, LEAF, TREE

QUESTION = "Tom has 5 boxes of 6 pens and gives away 12 pens. How many pens are left?"
STEP = Piece(Role.STEP, 1, "Step 1: 5 * 6 = 30 pens.")
WRONG = Piece(Role.WRONG_STEP, 5, "Step 2: 30 - 12 = 22.")
WHY = Piece(Role.REFLECTION, 5, "30 - 12 = 18, not 22")
CHECKED = Piece(Role.VERIFICATION, 1, "5 * 6 = 30")
LAST = Piece(Role.CONCLUSION, 7, "The answer is 18.")


def claims(*pairs: tuple[Piece, str]) -> list[str]:
    return new_claims(QUESTION, [piece for piece, _ in pairs], [words for _, words in pairs])


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        (STEP, "Step 1: There are 5 boxes, and with 6 pens in each that makes 5 * 6 = 30 pens."),
        (STEP, "5 boxes of 6 pens: 6 + 6 + 6 + 6 + 6 = 30."),
        (STEP, "2 of the boxes hold 2 * 6 = 12 pens, and the 5 - 2 = 3 others 3 * 6 = 18; 12 + 18 = 30."),
        (CHECKED, "Let me check: 30 / 6 = 5, as it should be. All is well with step 1."),
        (WRONG, "He gives 12 away, so 30 - 12 = 22."),
        (WHY, "Wait, 30 - 12 = 22? No: 30 - 12 = 18, and 18 + 12 = 30."),
        (STEP, "First, one thing at a time: steps 1 and 2 are easy. 5 * 6 = 30."),
    ],
)
def test_the_same_said_otherwise_is_no_new_claim(piece: Piece, words: str) -> None:
    assert claims((STEP, STEP.text), (WRONG, WRONG.text), (WHY, WHY.text), (piece, words)) == []


@pytest.mark.parametrize(
    ("piece", "words", "finding"),
    [
        (STEP, "5 * 6 = 35 pens.", "a false one: 5 * 6 = 35"),
        (STEP, "5 * 6 = 30, and 30 - 12 = 22.", "a false one: 30 - 12 = 22"),  # a wrong step's slip, on the path
        (CHECKED, "30 / 6 = 4, as it should be.", "a false one: 30 / 6 = 4"),
        (
            STEP,
            "Tom has 5 boxes of 6 pens, 30 in all, and 7 friends.",
            "a new number that neither the problem nor the draft has: 7",
        ),
        (STEP, "Tom has 48 - 18 = 30 pens.", "a new number that neither the problem nor the draft has: 48"),
        (WHY, "Wait, 30 - 12 = 19.", "a false one: 30 - 12 = 19"),
    ],
)
def test_what_is_new_is_found(piece: Piece, words: str, finding: str) -> None:
    found = claims((STEP, STEP.text), (WRONG, WRONG.text), (WHY, WHY.text), (piece, words), (LAST, LAST.text))
    assert any(finding in one for one in found), found


@given(st.integers(0, 60), st.booleans(), st.data())
async def test_any_piece_that_is_dropped_is_missed(seed, stop, data):
    """Template thoughts are faithful rewrites; without the words of a step, reflection or backtrack they are not."""
    rng = Random(seed)
    draft = walk(TREE, LEAF, Manner(wrong_trials=2, trial_share=0.6, stop_at_wrong=stop, verify="some"), rng)
    spans = template(draft, rng)
    assert (await check(TREE.problem, draft, "".join(span.text for span in spans))).findings == ()
    said_again = {span.node_id for span in spans if span.role is Role.VERIFICATION}  # a re-check says what its step says
    lost = [n for n, span in enumerate(spans) if span.role not in (Role.VERIFICATION, Role.STEP) or span.node_id not in said_again]
    place = data.draw(st.sampled_from([n for n in lost if spans[n].role is not Role.VERIFICATION]))
    damaged = "".join(span.text for n, span in enumerate(spans) if n != place)
    assert (await check(TREE.problem, draft, damaged)).findings, f"without {spans[place]}"


@given(st.integers(0, 60), st.data())
async def test_steps_in_another_order_are_noticed(seed, data):
    rng = Random(seed)
    draft = walk(TREE, LEAF, Manner(wrong_trials=2, trial_share=0.6), rng)
    spans = list(template(draft, rng))
    lines = [n for n, span in enumerate(spans) if span.role in (Role.STEP, Role.WRONG_STEP)]
    one, other = data.draw(st.sampled_from([(a, b) for a in lines for b in lines if a < b]))
    spans[one], spans[other] = spans[other], spans[one]
    assert (await check(TREE.problem, draft, "".join(span.text for span in spans))).findings


async def test_a_wrong_step_that_is_set_right_is_noticed():
    mended = GOOD.replace("so what is left is 30 - 12 = 22", "so what is left is 30 - 12 = 18")
    assert (await check(TREE.problem, DRAFT, mended)).findings
    assert align(DRAFT, split(GOOD))
