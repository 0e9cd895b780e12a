"""Trees into drafts, shortcuts and pairs: seeds, shares, splits and what is passed over."""

from collections import Counter

from services.compiler.compile import compile_trees, split_of
from services.compiler.pairs import tree_pairs
from services.compiler.traverse import correct_leaves
from shared.contracts.stages import CompileStage
from shared.contracts.thought import Role
from tests.services.compiler.growing import ORIGIN, PENS, build

FOREST = [build(PENS, problem_id=f"pens-{number}") for number in range(200)]


def compiled(trees=FOREST, seed=0, **settings):
    return compile_trees(trees, CompileStage(trees="search", **settings), seed, ORIGIN)


def turns(draft):
    return sum(piece.role is Role.BACKTRACK for piece in draft.pieces)


def test_a_seed_decides_everything_whatever_the_batch():
    first, again, other = compiled(), compiled(), compiled(seed=1)
    assert [draft.pieces for draft in first.drafts] == [draft.pieces for draft in again.drafts]
    assert [draft.pieces for draft in first.drafts] != [draft.pieces for draft in other.drafts]
    alone = compiled(FOREST[77:78])
    assert alone.drafts[0].pieces == first.drafts[77].pieces


def test_the_mix_of_wrong_turns_and_checks():
    found = Counter(turns(draft) for draft in compiled(clean_share=0.25, verify_share=0.5, trial_share=0.3).drafts)
    assert 30 <= found[0] <= 70 and set(found) == {0, 1, 2, 3}
    checked = sum(any(piece.role is Role.VERIFICATION for piece in draft.pieces) for draft in compiled(verify_share=0.5).drafts)
    assert 75 <= checked <= 125
    assert all(turns(draft) == 0 for draft in compiled(clean_share=1.0).drafts)
    assert all(turns(draft) == 3 for draft in compiled(clean_share=0.0, trial_share=1.0).drafts)


def test_several_thoughts_a_tree_differ_and_repeats_are_counted():
    many = compiled(FOREST[:1], thoughts_per_tree=40, clean_share=0.5)
    walks = [draft.pieces for draft in many.drafts]
    assert len(set(walks)) == len(walks) and 5 < len(walks) < 40
    assert many.skipped == {"the same walk as another thought of its tree": 40 - len(walks)}
    assert len(many.shortcuts) == 1, "one correct path, one shortcut"


def test_trees_are_passed_over_by_reason_and_those_without_wrong_branch_noted():
    rows = list(PENS)
    rows[7] = (4, "The answer is 17.", {**PENS[7][2], "answer": "17", "verified": False})
    barren = build(rows, problem_id="barren")
    straight = build([PENS[0], PENS[1], (1, *PENS[4][1:]), (2, *PENS[7][1:])], problem_id="straight")
    found = compiled([barren, straight], clean_share=0.0)
    assert found.skipped == {"no verified leaf": 1} and found.notes == {"no wrong branch": 1}
    assert [draft.tree.problem.id for draft in found.drafts] == ["straight"] == [one.problem_id for one in found.shortcuts]
    strict = compiled([barren, straight, FOREST[0]], without_wrong_branch="pass_over", clean_share=1.0)
    assert strict.skipped == {"no verified leaf": 1, "no wrong branch": 1} and len(strict.drafts) == len(strict.shortcuts) == 1


def test_shortcuts_are_the_path_alone():
    (shortcut,) = compiled(FOREST[:1]).shortcuts
    assert shortcut.completion.splitlines() == [PENS[place][1] for place in (1, 4, 7)]
    assert [span.node_id for span in shortcut.spans] == [1, 4, 7] and shortcut.leaf_id == 7


def test_pairs_set_right_steps_against_wrong_siblings(pens):
    pairs = list(tree_pairs(pens, correct_leaves(pens)[0], "train", ORIGIN))
    assert [(pair.chosen_node, pair.rejected_node) for pair in pairs] == [(1, 3), (4, 5), (7, 8)]
    assert pairs[1].prefix == "Step 1: Tom has 5 boxes of 6 pens, so 5 * 6 = 30 pens.\n"
    assert pairs[1].rejected.endswith("30 - 12 = 22.")


def test_splits_are_by_question():
    splits = [split_of(tree.problem.question, 0.2) for tree in FOREST]
    assert 20 <= splits.count("test") <= 60
    assert split_of("How  many PENS?", 0.5) == split_of("how many pens?", 0.5)
    assert all(split_of(tree.problem.question, 0.0) == "train" for tree in FOREST)
    assert all(split_of(tree.problem.question, 1.0) == "test" for tree in FOREST)
    found = compiled(test_share=0.2)
    assert [one.split for one in found.shortcuts] == splits
    assert {pair.problem_id: pair.split for pair in found.pairs} == dict(zip((t.problem.id for t in FOREST), splits, strict=True))
