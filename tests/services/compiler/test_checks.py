"""A rewrite is aligned with its draft, and refused if it lost something."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compiler.checks import check, split
from services.compiler.template import template
from services.compiler.traverse import Manner, correct_leaves, walk
from shared.contracts.thought import Role
from tests.services.compiler.growing import PENS, build

TREE = build(PENS)
LEAF = correct_leaves(TREE)[0]
ONE_TURN = Manner(trial_share=0.0)
DRAFTS = (walk(TREE, LEAF, ONE_TURN, Random(seed)) for seed in range(100))
DRAFT = next(draft for draft in DRAFTS if [piece.node_id for piece in draft] == [1, 5, 5, 1, 4, 7])

GOOD = """Okay, let me see. Tom starts with 5 boxes, and each box holds 6 pens.
Step 1: That makes 5 * 6 = 30 pens.
Step 2: Now he gives away 12 of them, so what is left is 30 - 12 = 22.
Hmm, wait a moment. 30 - 12 is 18, not 22, so let me go back to step 1 and take it from there.
Step 2: He gives away 12 pens, which leaves 30 - 12 = 18.
The answer is 18."""


async def test_a_faithful_rewrite_passes_and_leads_back_to_the_nodes():
    checked = await check(TREE.problem, DRAFT, GOOD)
    assert checked.findings == ()
    assert "".join(span.text for span in checked.spans) == GOOD
    assert [(span.role, span.node_id) for span in checked.spans] == [(piece.role, piece.node_id) for piece in DRAFT]
    (back,) = (span.text for span in checked.spans if span.role is Role.BACKTRACK)
    assert back == "so let me go back to step 1 and take it from there.\n"


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"so what is left is 30 - 12 = 22": "so what is left is 30 - 12 = 18"}, "wrong step"),
        ({"Step 2: Now he gives away 12 of them, so what is left is 30 - 12 = 22.\n": ""}, "wrong step"),
        ({", so let me go back to step 1 and take it from there": ""}, "go back"),
        ({"Hmm, wait a moment. 30 - 12 is 18, not 22, so let": "Let"}, "what was wrong"),
        ({"Step 2: He gives away 12 pens, which leaves 30 - 12 = 18.\n": ""}, "this step is missing"),
        ({"The answer is 18.": "The answer is 22."}, "must end with"),
        ({"The answer is 18.": ""}, "conclusion"),
        ({GOOD: "The answer is 18."}, "wrong step"),
        ({GOOD: ""}, "empty"),
    ],
)
async def test_what_is_lost_is_found(change, finding):
    text = GOOD
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    checked = await check(TREE.problem, DRAFT, text)
    assert any(finding in found for found in checked.findings), checked.findings


async def test_out_of_order_is_found():
    lines = GOOD.splitlines(keepends=True)
    checked = await check(TREE.problem, DRAFT, "".join([*lines[:2], lines[4], lines[3], lines[2], lines[5]]))
    assert checked.findings


@pytest.mark.parametrize("manner", [{}, {"verify": "all"}, {"verify": "all", "worked": True}])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("seed", range(20))
async def test_every_template_passes_its_own_check(seed, plain, manner):
    """The words of the template and those that the check looks for belong together."""
    rng = Random(seed)
    how = {"wrong_trials": 2, "trial_share": 0.6, "stop_at_wrong": seed % 2 == 0, "verify": "some", **manner}
    draft = walk(TREE, LEAF, Manner(**how), rng)
    spans = template(draft, rng, plain)
    text = "".join(span.text for span in spans)
    checked = await check(TREE.problem, draft, text)
    assert checked.findings == (), text
    assert "".join(span.text for span in checked.spans) == text


@given(st.text(alphabet="ab1. \n!?,;=-", max_size=80))
def test_sentences_join_to_the_text(text):
    assert "".join(split(text)) == text
