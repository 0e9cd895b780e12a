"""Trees to compile, from rows; PENS has wrong turns at the root, at step 1 and at step 2."""

from typing import Any

from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from shared.contracts.tree import Node, ReasoningTree, Verdict

ORIGIN = Origin(run_id="r1", stage="search", model="policy", prompt="solve@1", seed=0)
Row = tuple[int | None, str, dict[str, Any]]
_CORRECT = {"verdict": Verdict.CORRECT, "score": 1.0}


def _wrong(reason):
    return {"verdict": Verdict.INCORRECT, "score": 0.0, "reason": reason}


def _final(answer, verified):
    return {"final": True, "answer": answer, "verified": verified, "score": 0.5, "verdict": Verdict.UNKNOWN}


PENS: tuple[Row, ...] = (
    (None, "", {}),
    (0, "Step 1: Tom has 5 boxes of 6 pens, so 5 * 6 = 30 pens.", _CORRECT),
    (0, "Step 1: Tom has 5 + 6 = 11 pens.", _CORRECT),
    (0, "Step 1: Tom has 5 * 6 = 36 pens.", _wrong("5 * 6 = 30, not 36")),
    (1, "Step 2: He gives away 12, which leaves 30 - 12 = 18.", _CORRECT),
    (1, "Step 2: He gives away 12, which leaves 30 - 12 = 22.", _wrong("30 - 12 = 18, not 22")),
    (2, "Step 2: He gives away 12, so 12 - 11 = 1.", _CORRECT),
    (4, "The answer is 18.", _final("18", True)),
    (4, "The answer is 30.", _final("30", False)),
    (6, "The answer is 1.", _final("1", False)),
    (3, "Step 2: He gives away 36 - 12 = 24.", _CORRECT),
    (10, "The answer is 24.", _final("24", False)),
)


def build(rows, answer="18", problem_id="pens-1", reward="arithmetic"):
    """A tree of (parent, text, further fields) rows."""
    depths: list[int] = []
    nodes: list[Node] = []
    for place, (parent, text, fields) in enumerate(rows):
        depths.append(0 if parent is None else depths[parent] + 1)
        nodes.append(Node(id=place, parent=parent, depth=depths[-1], text=text, **fields))
    question = f"Tom has 5 boxes of 6 pens and gives away 12 pens. How many pens are left? ({problem_id})"
    problem = Problem(id=problem_id, question=question, answer=answer)
    tree_id = f"r1/search/{problem_id}"
    return ReasoningTree(id=tree_id, problem=problem, nodes=tuple(nodes), strategy="beam", reward=reward, origin=ORIGIN)
