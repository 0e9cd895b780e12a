"""Preference pairs of a tree: the right step against a wrong sibling, after the same steps."""

from collections.abc import Iterator

from services.compiler.steps import sameness
from services.compiler.traverse import is_wrong, right_nodes
from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from shared.contracts.thought import PreferencePair, Split
from shared.contracts.tree import Node, ReasoningTree


def tree_pairs(tree: ReasoningTree, leaf: Node, split: Split, origin: Origin) -> Iterator[PreferencePair]:
    """At most one pair for each step of the path to `leaf`: the step, and its first sibling that is wrong for certain.

    Certain is what a judge called wrong without a verified leaf below it, and a wrong final answer; a pruned sibling is neither.
    """
    right = right_nodes(tree)
    prefix: list[str] = []
    for chosen in tree.path(leaf.id):
        assert chosen.parent is not None
        for rejected in tree.children[chosen.parent]:
            wrong = is_wrong(rejected, right) or rejected.verified is False
            if wrong and rejected.text.strip() and sameness(rejected.text) != sameness(chosen.text):
                yield _pair(tree.problem, tree.id, prefix, chosen, rejected, split, origin)
                break
        prefix.append(chosen.text.strip())


def _pair(
    problem: Problem, tree_id: str, prefix: list[str], chosen: Node, rejected: Node, split: Split, origin: Origin
) -> PreferencePair:
    return PreferencePair(
        id=f"{problem.id}#{chosen.id}-{rejected.id}",
        problem_id=problem.id,
        question=problem.question,
        prefix="".join(f"{step}\n" for step in prefix),
        chosen=chosen.text.strip(),
        rejected=rejected.text.strip(),
        split=split,
        tree_id=tree_id,
        chosen_node=chosen.id,
        rejected_node=rejected.id,
        origin=origin,
    )
