"""Step labels of a tree: what a process reward model is trained on (Part 1, Q5; Math-Shepherd, arXiv 2312.08935, section 3.3).

| how | right | wrong |
|---|---|---|
| verdicts | judged correct, or a verified leaf at or below it | judged incorrect without such a leaf; a wrong final answer |
| values | a completion of it was ever right: by rollouts, or a verified leaf | none was, though all were followed to an end |

Of the rest nothing is known.

A sample is a path from the root as far as its labels are known, up to its first wrong step: what follows an error is neither. Of
paths with a common beginning each holds it anew, as whole solutions do; one that adds no label of its own gives no sample.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from services.compiler.traverse import is_wrong, right_nodes
from shared.contracts.base import Origin
from shared.contracts.thought import Split, StepLabels
from shared.contracts.tree import Node, ReasoningTree, Verdict

How = Literal["verdicts", "values"]


def step_labels(tree: ReasoningTree, how: How, split: Split, origin: Origin) -> Iterator[StepLabels]:
    """The labelled paths of a tree, in order of their last nodes."""
    right = right_nodes(tree)
    known = {node.id: label for node in tree.nodes[1:] if (label := _LABELS[how](tree, node, right)) is not None}
    leaves = [node for node in tree.nodes[1:] if not tree.children[node.id]]
    paths = [_labelled(tree.path(leaf.id), known) for leaf in leaves]
    seen: set[int] = set()
    kept = []
    for path in sorted(paths, key=lambda path: (-len(path), [node.id for node in path])):  # a long one holds its beginnings
        if not {node.id for node in path} <= seen:
            seen.update(node.id for node in path)
            kept.append(path)
    for path in sorted(kept, key=lambda path: path[-1].id):
        yield StepLabels(
            id=f"{tree.problem.id}#{path[-1].id}",
            problem_id=tree.problem.id,
            question=tree.problem.question,
            split=split,
            tree_id=tree.id,
            steps=tuple(node.text.strip() for node in path),
            labels=tuple(known[node.id] for node in path),
            node_ids=tuple(node.id for node in path),
            how=how,
            origin=origin,
        )


def _labelled(path: Sequence[Node], known: dict[int, bool]) -> list[Node]:
    """A path up to its first wrong step, or to where nothing is known any more."""
    found = []
    for node in path:
        if node.id not in known or not node.text.strip():
            break
        found.append(node)
        if not known[node.id]:
            break
    return found


def _by_verdict(tree: ReasoningTree, node: Node, right: set[int]) -> bool | None:
    if node.id in right:
        return True
    if node.verified is False or is_wrong(node, right):
        return False
    return True if node.verdict is Verdict.CORRECT else None


def _by_value(tree: ReasoningTree, node: Node, right: set[int]) -> bool | None:
    if node.id in right:
        return True
    if tree.reward == "rollout" and node.score is not None:
        return node.score > 0
    return False if _followed_to_an_end(tree, node) else None


def _followed_to_an_end(tree: ReasoningTree, node: Node) -> bool:
    """Whether every branch below a node came to an answer, or to the end of its text."""
    children = tree.children[node.id]
    if not children:
        return node.final or node.ended == "no_answer"
    return all(_followed_to_an_end(tree, child) for child in children)


_LABELS = {"verdicts": _by_verdict, "values": _by_value}
