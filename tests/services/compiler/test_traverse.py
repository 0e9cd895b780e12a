"""Walks through trees: by hand on a small one, and by hypothesis on all kinds."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compiler.steps import SLIP, sameness
from services.compiler.template import template
from services.compiler.traverse import Manner, PassedOver, correct_leaves, draft_text, right_nodes, shortcut, walk
from services.compiler.worked import refutation
from shared.answers.extract import final_answer
from shared.contracts.thought import Role
from shared.contracts.tree import Node, Verdict
from tests.services.compiler.growing import PENS, Row, build

WORDS = st.sampled_from(["5 * 6 = 30", "30 - 12 = 18", "30 - 12 = 22", "So it is 18", "Tom buys 4 more", "7 + 8 = 15"])


@st.composite
def trees(draw):
    """Valid trees of up to 25 steps: judged or not, right and wrong answers, dead ends, now and then a line said before."""
    rows: list[Row] = [(None, "", {})]
    open_nodes, depth = [0], {0: 0}
    for place in range(1, draw(st.integers(1, 25)) + 1):
        parent = draw(st.sampled_from(open_nodes))
        depth[place] = depth[parent] + 1
        verdict = draw(st.sampled_from([None, *Verdict]))
        fields = {"verdict": verdict, "score": draw(st.sampled_from([None, 0.0, 0.5, 1.0]))}
        if verdict is Verdict.INCORRECT:
            fields["reason"] = draw(st.sampled_from([None, "30 - 12 = 18, not 22", "Tom has no dog.", "0 of 4 completions arrive"]))
        if draw(st.integers(0, 3)) == 0:
            right = draw(st.booleans())
            answer = "18" if right else str(draw(st.integers(19, 60)))
            text = f"The answer is {answer}."
            fields |= {"final": True, "answer": answer, "verified": right}
        else:
            note = f" (way {place})" if draw(st.integers(0, 5)) else ""
            text = f"Step {depth[place]}: {draw(WORDS)}{note}"
            open_nodes.append(place)
        rows.append((parent, text, fields))
    return build(rows)


manners = st.builds(
    Manner,
    wrong_trials=st.integers(0, 3),
    trial_share=st.sampled_from([0.0, 0.5, 1.0, "natural"]),
    stop_at_wrong=st.booleans(),
    wrong_depth=st.sampled_from([None, 1, 2, 3]),
    verify=st.sampled_from(["none", "some", "all"]),
    worked=st.booleans(),
)


@given(trees(), manners, st.integers(0, 5))
def test_every_walk_is_sound(tree, manner, seed):
    try:
        leaves = correct_leaves(tree)
    except PassedOver:
        return
    for leaf in leaves:
        pieces = walk(tree, leaf, manner, Random(seed))
        path = [node.id for node in tree.path(leaf.id)]
        walked = [piece.node_id for piece in pieces if piece.role in (Role.STEP, Role.CONCLUSION)]
        wrong = [piece.node_id for piece in pieces if piece.role is Role.WRONG_STEP]
        assert walked == path and leaf.verified
        assert not set(wrong) & set(path) and len(wrong) == len(set(wrong))
        assert not any(tree.nodes[node_id].verified for node_id in wrong)
        assert not any(tree.nodes[node_id].verdict is Verdict.INCORRECT for node_id in path)
        lines = [sameness(piece.text) for piece in pieces if piece.role in (Role.STEP, Role.WRONG_STEP, Role.CONCLUSION)]
        assert len(lines) == len(set(lines)), "a step is said twice"
        _check_trials(tree, pieces, manner)
        assert manner.wrong_trials or not wrong


def _check_trials(tree, pieces, manner):
    """Each trial branches from the node it returns to, ends wrong, and is explained truthfully."""
    right = right_nodes(tree)
    trial: list[Node] = []
    on_path = tried = 0
    for piece, following in zip(pieces, [*pieces[1:], None], strict=True):
        node = tree.nodes[piece.node_id]
        if piece.role in (Role.STEP, Role.CONCLUSION):
            on_path, tried = piece.node_id, 0
        elif piece.role is Role.WRONG_STEP:
            assert node.parent == (trial[-1].id if trial else on_path)
            assert following.role in (Role.WRONG_STEP, Role.REFLECTION)
            trial.append(node)
        elif piece.role is Role.REFLECTION:
            assert node in trial and following.role is Role.BACKTRACK
            if node.verdict is Verdict.INCORRECT and node.id not in right:
                worked = refutation(node.text) if manner.worked and node.reason != "Tom has no dog." else None
                assert piece.text in {node.reason or "this step is wrong", worked}
                assert worked is None or piece.text == worked or not SLIP.fullmatch(node.reason or "1 = 1, not 2")
            else:
                assert node is trial[-1] and node.verified is False and node.answer in piece.text
        elif piece.role is Role.BACKTRACK:
            assert piece.node_id == on_path and trial
            assert manner.wrong_depth is None or len(trial) <= manner.wrong_depth
            tried, trial = tried + 1, []
            assert tried <= manner.wrong_trials
        elif piece.role is Role.VERIFICATION:
            facts = [eval(fact.replace("=", "==")) for fact in piece.text.split(", ")]
            assert piece.node_id == on_path and all(fact is True for fact in facts)


@given(trees(), manners, st.integers(0, 5))
def test_templates_keep_every_line_and_end_in_the_answer(tree, manner, seed):
    try:
        leaf = correct_leaves(tree)[0]
    except PassedOver:
        return
    first, again = (walk(tree, leaf, manner, Random(seed)) for _ in range(2))
    assert first == again, "the same seed gives the same walk"
    spans = template(first, Random(seed))
    assert spans == template(first, Random(seed))
    text = "".join(span.text for span in spans)
    assert final_answer(text) == "18" and text.splitlines()[-1] == leaf.text
    assert [(span.role, span.node_id) for span in spans] == [(piece.role, piece.node_id) for piece in first]
    for piece in first:
        if piece.role in (Role.STEP, Role.WRONG_STEP):
            assert text.splitlines().count(piece.text) == 1
    assert "{" not in text and "completions" not in text.replace("Tom", "")


def test_the_draft_is_in_walking_order(pens):
    leaf = correct_leaves(pens)[0]
    assert [piece.text for piece in shortcut(pens, leaf)] == [node.text for node in pens.path(7)]
    pieces = walk(pens, leaf, Manner(wrong_trials=2, trial_share=1.0), Random(3))
    text = draft_text(pieces)
    assert "(wrong) Step 1: Tom has 5 * 6 = 36 pens.\n(why) 5 * 6 = 30, not 36\n(back) back to the start\n" in text
    assert "(wrong) Step 2: He gives away 12, so 12 - 11 = 1.\n(wrong) The answer is 1.\n(why) the answer 1 does not" in text
    assert "(wrong) The answer is 30.\n(why) the answer 30 does not check out\n(back) back to step 2\nThe answer is 18." in text
    assert "36 - 12" not in text, "stop_at_wrong ends the trial at the first step judged wrong"


def test_without_stopping_the_reason_names_the_first_wrong_step(pens):
    leaf = correct_leaves(pens)[0]
    pieces = walk(pens, leaf, Manner(wrong_trials=2, trial_share=1.0, stop_at_wrong=False), Random(3))
    text = draft_text(pieces)
    assert "(wrong) The answer is 24.\n(why) 5 * 6 = 30, not 36\n(back) back to the start" in text
    assert next(piece for piece in pieces if piece.text == "5 * 6 = 30, not 36").node_id == 3
    thought = "".join(span.text for span in template(pieces, Random(0)))
    assert "step 1" in thought.split("The answer is 24.\n")[1].splitlines()[0].lower()


@pytest.mark.parametrize(
    ("depth", "stop", "wrong"),
    [
        (1, True, {3, 5, 8}),  # "12 - 11 = 1" goes wrong only by its answer, two steps further on
        (2, True, {3, 5, 8}),
        (3, True, {3, 5, 8, 2, 6, 9}),
        (2, False, {3, 10, 5, 8}),  # cut before it states its answer
        (3, False, {3, 10, 11, 5, 8, 2, 6, 9}),
    ],
)
def test_a_wrong_turn_is_no_deeper_than_asked(pens, depth, stop, wrong):
    leaf = correct_leaves(pens)[0]
    pieces = walk(pens, leaf, Manner(wrong_trials=3, stop_at_wrong=stop, wrong_depth=depth), Random(0))
    assert {piece.node_id for piece in pieces if piece.role is Role.WRONG_STEP} == wrong


@pytest.mark.parametrize(("share", "turns"), [(0.0, {1}), (1.0, {3})])
def test_the_share_of_nodes_that_try(pens, share, turns):
    leaf = correct_leaves(pens)[0]
    found = set()
    for seed in range(20):
        pieces = walk(pens, leaf, Manner(trial_share=share), Random(seed))
        found.add(sum(piece.role is Role.BACKTRACK for piece in pieces))
    assert found == turns


def test_wrong_turns_come_as_often_as_the_policy_took_them():
    """At the root it went wrong in 3 samples of 4; after step 1 in none."""
    rows = [
        (None, "", {}),
        (0, "Step 1: 5 * 6 = 30 pens.", {"verdict": Verdict.CORRECT}),
        (0, "Step 1: 5 * 6 = 35 pens.", {"verdict": Verdict.INCORRECT, "reason": "5 * 6 = 30, not 35", "multiplicity": 3}),
        (1, "Step 2: 30 - 12 = 18 pens.", {"verdict": Verdict.CORRECT}),
        (3, "The answer is 18.", {"final": True, "answer": "18", "verified": True}),
    ]
    tree = build(rows)
    (leaf,) = correct_leaves(tree)
    manner = Manner(trial_share="natural", verify="all", worked=True)
    walks = [walk(tree, leaf, manner, Random(seed)) for seed in range(400)]
    winding = [pieces for pieces in walks if any(piece.role is Role.WRONG_STEP for piece in pieces)]
    assert 0.68 < len(winding) / len(walks) < 0.82
    assert [(piece.role, piece.text) for piece in winding[0]] == [
        (Role.WRONG_STEP, "Step 1: 5 * 6 = 35 pens."),
        (Role.REFLECTION, "5 * 6 = 30, not 35. It is 30"),
        (Role.BACKTRACK, "back to the start"),
        (Role.STEP, "Step 1: 5 * 6 = 30 pens."),
        (Role.VERIFICATION, "5 * 6 = 30"),
        (Role.STEP, "Step 2: 30 - 12 = 18 pens."),
        (Role.VERIFICATION, "18 + 10 = 28, 28 + 2 = 30"),
        (Role.CONCLUSION, "The answer is 18."),
    ]
    assert "".join(span.text for span in template(winding[0], Random(0), plain=True)) == (
        "Step 1: 5 * 6 = 35 pens.\nCheck: 5 * 6 = 30, not 35. It is 30. Redo step 1.\n"
        "Step 1: 5 * 6 = 30 pens.\nCheck: 5 * 6 = 30. Yes.\n"
        "Step 2: 30 - 12 = 18 pens.\nCheck: 18 + 10 = 28, 28 + 2 = 30. Yes.\nThe answer is 18."
    )


def test_the_one_turn_of_a_walk_lies_anywhere(pens):
    leaf = correct_leaves(pens)[0]
    places = set()
    for seed in range(30):
        pieces = walk(pens, leaf, Manner(trial_share=0.0), Random(seed))
        places |= {piece.node_id for piece in pieces if piece.role is Role.BACKTRACK}
    assert places == {0, 1, 4}


def test_what_is_neither_right_nor_wrong_is_no_trial():
    """A pruned branch, one that ended without an answer, and a step judged wrong that leads to the answer all the same."""
    rows = [
        (None, "", {}),
        (0, "Step 1: 6 * 5 = 30", {"verdict": Verdict.CORRECT}),
        (0, "Step 1: Tom is a boy.", {"verdict": Verdict.UNKNOWN, "kept": False}),
        (0, "Step 1: Pens are pens.", {"ended": "no_answer"}),
        (0, "Step 1: Take 12 from 30.", {"verdict": Verdict.INCORRECT}),
        (1, "The answer is 18.", {"final": True, "answer": "18", "verified": True}),
        (4, "The answer is 18.", {"final": True, "answer": "18", "verified": True}),
    ]
    tree = build(rows)
    (leaf,) = correct_leaves(tree)
    assert leaf.id == 5
    pieces = walk(tree, leaf, Manner(wrong_trials=4, trial_share=1.0), Random(0))
    assert [piece.role for piece in pieces] == [Role.STEP, Role.CONCLUSION]


def test_trees_without_a_verified_leaf_are_passed_over(pens):
    assert [leaf.id for leaf in correct_leaves(pens)] == [7]
    rows = list(PENS)
    rows[7] = (4, "The answer is 17.", {**PENS[7][2], "answer": "17", "verified": False})
    with pytest.raises(PassedOver, match="no verified leaf"):
        correct_leaves(build(rows))


def test_lucky_and_repetitive_paths_are_not_taught():
    right = {"final": True, "answer": "18", "verified": True}
    lucky = [(None, "", {}), (0, "Step 1: 5 * 6 = 29", {"verdict": Verdict.INCORRECT}), (1, "The answer is 18.", right)]
    with pytest.raises(PassedOver, match="judged wrong"):
        correct_leaves(build(lucky))
    twice = [(None, "", {}), (0, "Step 1: So 18.", {}), (1, "Step 2: so  18", {}), (2, "The answer is 18.", right)]
    with pytest.raises(PassedOver, match="says a step twice"):
        correct_leaves(build(twice))


def test_leaves_are_ranked_by_their_weakest_step_then_by_length():
    right = {"final": True, "answer": "18", "verified": True}
    rows = [
        (None, "", {}),
        (0, "Step 1: a", {"score": 0.4}),
        (0, "Step 1: b", {"score": 0.9}),
        (2, "Step 2: c", {"score": 0.9}),
        (1, "The answer is 18.", {**right, "score": 1.0}),
        (3, "The answer is 18.", {**right, "score": 0.9}),
        (2, "So the answer is 18.", {**right, "score": 0.9}),
    ]
    assert [leaf.id for leaf in correct_leaves(build(rows))] == [6, 5, 4]
