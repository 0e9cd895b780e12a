"""What the tests of both dialogue strategies share: a search with scripted speakers, and checks of what it leaves."""

import json
from collections.abc import Callable, Sequence

from services.searcher.growth import Growth
from services.searcher.policy import policy_of
from services.searcher.rewards import reward
from services.searcher.strategies import strategy
from shared.contracts.base import Message, Origin
from shared.contracts.problem import Problem
from shared.contracts.stages import SearchStage
from shared.contracts.tree import ReasoningTree
from shared.engines.client import Form
from tests.services.searcher.fakes import EOS, DialogueEndpoint, Script, no_model

Speaker = Callable[[Sequence[Message], Form | None, int], str]


async def grown(
    problem: Problem,
    stage: SearchStage,
    script: Script,
    speak: Speaker,
    critic: Speaker | None = None,
    saved: Sequence[dict] = (),
    local: bool = True,
) -> tuple[ReasoningTree, list[dict], DialogueEndpoint, DialogueEndpoint | None]:
    """The tree of a search that goes on after the rounds `saved`, all rounds, and the endpoints of policy and critic."""
    endpoint = DialogueEndpoint(script, speak, local)
    judge = DialogueEndpoint(script, critic, local) if critic else None
    rounds = list(saved)

    async def save(seq, body):
        assert seq == len(rounds) + 1
        rounds.append(json.loads(json.dumps(body)))

    growth = Growth(problem, stage, await policy_of(endpoint, problem), await reward(stage.reward, no_model), save, judge)
    growth.restore(saved)
    await strategy(stage.strategy)(growth, stage)
    return growth.tree("t", Origin(run_id="r", stage="search")), rounds, endpoint, judge


def said_to(messages: Sequence[Message]) -> str:
    """The last turn: what the model is asked."""
    assert messages[-1].role == "user"
    return messages[-1].content


def check_chat(messages: Sequence[Message]) -> None:
    """A chat that every template takes: it starts with the user, turns alternate, and none is empty."""
    assert [message.role for message in messages] == [("user", "assistant")[place % 2] for place in range(len(messages))]
    assert all(message.content.strip() for message in messages)


def told(tree: ReasoningTree) -> list[tuple]:
    """Nodes and remarks in order of time, in short."""
    nodes = [((node.id, 1), ("step", node.id, node.parent)) for node in tree.nodes[1:]]
    remarks = [((one.after, 0), (one.kind, one.node, *([] if one.to is None else [one.to]))) for one in tree.remarks]
    return [short for _, short in sorted([*nodes, *remarks], key=lambda pair: pair[0])]


def ended(line: str) -> str:
    """A line that the model ends itself."""
    return f"{line}{EOS}"
