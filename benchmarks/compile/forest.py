"""Trees to compile: those of a beam search on the bundled word problems, as it would leave them, made without a model.

Each has `size` nodes: the right path, and beside its steps wrong ones, whose sums are off and which lead on to wrong answers.
"""

from collections.abc import Iterator
from itertools import islice
from random import Random

from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from shared.contracts.tree import Node, ReasoningTree, Verdict
from shared.problems.arithmetic import sequence
from shared.problems.mistakes import sums_of

ORIGIN = Origin(run_id="bench", stage="search", model="none", prompt="solve@1", seed=0)


def trees(count: int, size: int, seed: int = 0) -> Iterator[ReasoningTree]:
    """`count` trees, one a problem, the same for the same arguments."""
    for place, problem in enumerate(islice(sequence(seed), count)):
        yield grow(problem, size, Random(f"forest/{seed}/{place}"))


def grow(problem: Problem, size: int, rng: Random) -> ReasoningTree:
    """One tree: its right path first, then wrong branches at random places of the path until it has `size` nodes."""
    sums = sums_of(problem)
    *lines, last = (problem.solution or "").splitlines()
    nodes = [Node(id=0, parent=None, depth=0, text="")]

    def add(parent: int, text: str, **fields: object) -> int:
        about = {"id": len(nodes), "parent": parent, "depth": nodes[parent].depth + 1, "text": text, "tokens": 12, **fields}
        nodes.append(Node.model_validate(about))
        return len(nodes) - 1

    path = [0]
    for line in lines:
        path.append(add(path[-1], line, score=1.0, verdict=Verdict.CORRECT))
    add(path[-1], last, final=True, answer=problem.answer, verified=True, score=1.0)
    while len(nodes) < size:
        step = rng.randrange(len(lines))
        one = sums[step]
        result = one.result + rng.choice([n for n in range(-60, 61) if n and one.result + n > 0])
        text = f"Step {step + 1}: {one.left} {one.operator} {one.right} = {result} {one.unit}."
        if any(node.text == text for node in nodes):
            continue
        reason = f"{one.left} {one.operator} {one.right} = {one.result}, not {result}"
        wrong = add(path[step], text, score=0.0, verdict=Verdict.INCORRECT, reason=reason)
        if len(nodes) + 1 < size:
            on = add(wrong, f"Step {step + 2}: {result} + {one.right} = {result + one.right} {one.unit}.", score=1.0)
            add(on, f"The answer is {result + one.right}.", final=True, answer=str(result + one.right), verified=False, score=0.0)
    return ReasoningTree(
        id=f"bench/search/{problem.id}", problem=problem, nodes=tuple(nodes), strategy="beam", reward="arithmetic", origin=ORIGIN
    )
