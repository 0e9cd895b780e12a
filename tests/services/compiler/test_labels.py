"""Step labels: by hand on a small tree, and by hypothesis on all kinds."""

import pytest
from hypothesis import given

from services.compiler.labels import step_labels
from services.compiler.traverse import right_nodes
from shared.contracts.tree import Verdict
from tests.services.compiler.growing import ORIGIN, PENS, build
from tests.services.compiler.test_traverse import trees


def labelled(tree, how):
    return {one.node_ids: one.labels for one in step_labels(tree, how, "train", ORIGIN)}


def test_verdicts_follow_the_judge_up_to_the_first_wrong_step(pens):
    assert labelled(pens, "verdicts") == {
        (1, 5): (True, False),
        (1, 4, 7): (True, True, True),
        (1, 4, 8): (True, True, False),
        (2, 6, 9): (True, True, False),  # the judge found nothing wrong with "5 + 6 = 11"
        (3,): (False,),
    }


def test_values_follow_what_the_steps_came_to(pens):
    assert labelled(pens, "values") == {
        (1, 4, 7): (True, True, True),
        (1, 4, 8): (True, True, False),
        (2,): (False,),  # it leads to 1 and nowhere else
        (3,): (False,),
    }, "nobody followed step 5"


@pytest.mark.parametrize(("score", "label"), [(0.0, False), (0.25, True)])
def test_rollouts_tell_of_a_pruned_step(score, label):
    rows = [*PENS[:2], (0, "Step 1: 5 + 6 = 11.", {"score": score, "kept": False}), (1, *PENS[7][1:])]
    assert labelled(build(rows, reward="rollout"), "values")[(2,)] == (label,)
    assert (2,) not in labelled(build(rows), "values"), "pruned, and nothing known of what it would have come to"


def test_a_tree_that_nobody_solved_still_tells_of_its_wrong_steps():
    tree = build([PENS[0], PENS[3], (0, "The answer is 3.", {"final": True, "answer": "3", "verified": False})])
    assert labelled(tree, "verdicts") == labelled(tree, "values") | {(1,): (False,)} == {(1,): (False,), (2,): (False,)}


@given(trees())
def test_labels_are_sound(tree):
    right = right_nodes(tree)
    for how in ("verdicts", "values"):
        found = list(step_labels(tree, how, "train", ORIGIN))
        assert len({one.id for one in found}) == len(found)
        seen = set()
        for one in found:
            path = [node.id for node in tree.path(one.node_ids[-1])]
            assert list(one.node_ids) == path and not set(path) <= seen
            seen.update(path)
            for node_id, label in zip(one.node_ids, one.labels, strict=True):
                node = tree.nodes[node_id]
                assert label or node_id not in right
                assert not (label and node.verified is False)
                if how == "verdicts" and not label:
                    assert node.verdict is Verdict.INCORRECT or node.verified is False
