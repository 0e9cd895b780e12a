"""Labelled solutions as trees: PRM800K's and MR-GSM8K's rows, from the file to the thoughts that come of them."""

from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compiler.compile import compile_trees
from services.distiller.labelled_trees import tree_of
from services.distiller.solutions import Unusable
from services.distiller.tasks import import_examples
from shared.contracts.base import Origin
from shared.contracts.problem import LabelledStep, Problem, Proposal, StepLabel
from shared.contracts.stages import CompileStage, ImportStage
from shared.contracts.thought import Role
from shared.contracts.tree import ReasoningTree, Verdict
from shared.problems.formats import parse_row
from tests.shared.problems.test_labelled import MR, completion, level, prm800k

ORIGIN = Origin(run_id="r1", stage="labelled", model="prm800k")
PRM = prm800k(
    level(completion("I will double 6 / 2.", -1), completion("Half of 6 is 6 / 2.", 1), completion("Let me see.", 0), chosen=1),
    level(completion("That is 2.\n\n# Answer\n\n2", -1), completion("That is 3.\n\n# Answer\n\n3", 1), chosen=1),
)


async def grown(row):
    return await tree_of(parse_row(row, 1), "t1", ORIGIN)


async def test_prm800k_becomes_the_tree_that_its_labellers_saw():
    tree = await grown(PRM)
    found = [(node.parent, node.text, node.verdict, node.score, node.verified) for node in tree.nodes[1:]]
    assert found == [
        (0, "Half of 6 is 6 / 2.", Verdict.CORRECT, 1.0, None),
        (0, "I will double 6 / 2.", Verdict.INCORRECT, 0.0, None),
        (0, "Let me see.", Verdict.UNKNOWN, 0.5, None),
        (1, "That is 3. The answer is 3.", Verdict.CORRECT, 1.0, True),
        (1, "That is 2. The answer is 2.", Verdict.INCORRECT, 0.0, False),
    ]
    assert not tree.problem.steps and (tree.strategy, tree.reward, tree.origin.model) == ("imported", "labels", "prm800k")


async def test_mr_gsm8k_gets_the_right_path_beside_the_wrong_one():
    tree = await grown(MR)
    assert [(node.parent, node.text, node.verdict) for node in tree.nodes[1:]] == [
        (0, "Step 1: 2 weeks have 12 days.", Verdict.CORRECT),
        (1, "Step 2: 12*10=120.", Verdict.INCORRECT),
        (2, "Step 3: The answer is 120.", None),
        (0, "Step 1: 2 weeks have 14 days.", Verdict.CORRECT),
        (4, "Step 2: He burns 14*10=140.", Verdict.CORRECT),
        (5, "The answer is 140.", Verdict.CORRECT),
    ]
    assert tree.nodes[2].reason == "A week has 7 days." and [node.id for node in tree.verified_leaves] == [6]


async def test_paths_part_where_their_steps_do():
    agreeing = {**MR, "model_output_steps": ["Step 1: 2 weeks  have 14 days", *MR["model_output_steps"][1:]]}
    tree = await grown(agreeing)
    assert [node.parent for node in tree.nodes[1:]] == [0, 1, 2, 1, 4]


@pytest.mark.parametrize("row", [PRM, MR])
async def test_imported_trees_compile_like_searched_ones(row):
    tree = await grown(row)
    stage = CompileStage(trees="labelled", clean_share=0, trial_share=1)
    compiled = compile_trees([tree], stage, 0, ORIGIN)
    (draft,) = compiled.drafts
    roles = Counter(piece.role for piece in draft.pieces)
    assert roles[Role.WRONG_STEP] and roles[Role.REFLECTION] == roles[Role.BACKTRACK] >= 1 and roles[Role.CONCLUSION] == 1
    assert len(compiled.shortcuts) == 1 and not compiled.skipped


async def test_a_row_whose_labelled_path_ends_wrong_is_passed_over_by_the_compiler():
    tree = await grown(prm800k(level(completion("It is 4.\n\n# Answer\n\n4", -1)), planned=["It is 4."], finish="found_error"))
    assert not list(tree.verified_leaves)
    assert compile_trees([tree], CompileStage(trees="labelled"), 0, ORIGIN).skipped == {"no verified leaf": 1}


async def test_nothing_follows_a_stated_answer():
    tree = await grown(prm800k(level(completion("It is 3.\n\n# Answer\n\n3", 1)), level(completion("Or is it?", 0))))
    assert [node.text for node in tree.nodes[1:]] == ["It is 3. The answer is 3."]


async def test_the_handler_counts_what_has_no_labels():
    problems = [parse_row(PRM, 1), Problem(id="bare", question="?", answer="1")]

    async def found():
        return problems

    work = SimpleNamespace(
        stage=ImportStage(problems="train", format="trees"),
        problems=found,
        lease=SimpleNamespace(run_id="r1", stage="labelled"),
        origin=lambda model=None: ORIGIN.model_copy(update={"model": model}),
    )
    result = await import_examples(work)
    (record,) = result.records
    tree = ReasoningTree.model_validate(record.body)
    assert (record.kind, record.key, tree.id) == ("tree", problems[0].id, f"r1/labelled/{problems[0].id}")
    assert result.summary == {"trees": 1, "passed_over": {"no labelled steps": 1}}


_TEXTS = st.sampled_from(["5 + 5 = 10.", "Step 2: 5 + 5 = 11.", "The answer is 10.", "The answer is 9.", "Let me see."])
_LABELS = st.sampled_from(StepLabel)
_STEPS = st.builds(
    LabelledStep,
    text=_TEXTS,
    label=_LABELS,
    alternatives=st.lists(st.builds(Proposal, text=_TEXTS, label=_LABELS), max_size=3).map(tuple),
)


@given(st.lists(_STEPS, max_size=5), st.sampled_from([None, "5 + 5 = 10.", "It is 9.\n#### 9"]))
async def test_any_labels_give_one_sound_tree(steps, solution):
    problem = Problem(id="p", question="?", answer="10", steps=tuple(steps), solution=solution)
    if not steps:
        with pytest.raises(Unusable):
            await tree_of(problem, "t", ORIGIN)
        return
    tree = await tree_of(problem, "t", ORIGIN)  # the contract checks that it is one tree
    assert all(node.verified == (node.answer == "10") for node in tree.nodes if node.final)
    assert list(tree.verified_leaves) or solution != "5 + 5 = 10."
    compile_trees([tree], CompileStage(trees="labelled"), 0, ORIGIN)
