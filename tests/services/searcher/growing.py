"""Grows whole trees with scripted models."""

from collections.abc import Callable, Sequence
from zlib import crc32

from services.searcher.growth import Growth
from services.searcher.policy import policy_of
from services.searcher.rewards import reward
from services.searcher.strategies import strategy
from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from shared.contracts.stages import SearchStage
from shared.contracts.tree import ReasoningTree
from tests.services.searcher.fakes import EOS, FakeEndpoint, Script, no_model, stage_of


async def grown(
    problem: Problem, script: Script, stage: SearchStage | None = None, saved: Sequence = (), local: bool = True, endpoint=None
) -> tuple[ReasoningTree, list, FakeEndpoint]:
    """The tree that a script leads to (after the rounds `saved`), all saved rounds, and the endpoint that was asked."""
    endpoint = endpoint or FakeEndpoint(script, local)
    rounds = list(saved)

    async def save(seq, body):
        assert seq == len(rounds) + 1
        rounds.append(body)

    stage = stage or stage_of()
    growth = Growth(problem, stage, await policy_of(endpoint, problem), await reward(stage.reward, no_model), save)
    growth.restore(saved)
    await strategy(stage.strategy)(growth, stage)
    return growth.tree("t1", Origin(run_id="r", stage="search")), rounds, endpoint


def by_text(tree: ReasoningTree, text: str):
    [node] = [node for node in tree.nodes if node.text == text.strip().strip(EOS)]
    return node


def wandering(lines: Sequence[str], seed: int = 0) -> Script:
    """A model that takes each line by what it wrote so far and the draw alone, however often it is asked; it writes to an end."""

    def script(so_far: str, number: int, draw: int) -> str:
        text = ""
        while not text or (text.endswith("\n") and len(text) < 600):
            text += lines[crc32(f"{seed}|{so_far}{text}|{draw}".encode()) % len(lines)]
        return text.rstrip("\n") + EOS if len(text) >= 600 else text

    return script


def subtree(tree: ReasoningTree, of: Callable) -> list[tuple]:
    """The nodes that `of` (given a path) takes, told by their paths' texts and what became of them."""
    paths = [tree.path(node.id) for node in tree.nodes[1:]]
    return [(*(step.text for step in path), path[-1].kept, path[-1].score, path[-1].multiplicity) for path in paths if of(path)]
