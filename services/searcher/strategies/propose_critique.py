"""propose_critique: the policy itself says what it does next, and does it (method: section 2; arXiv 2410.18982, Q3).

One turn is one action, asked for under a constrained choice, and one saved round:

| action | what becomes of it | offered |
|---|---|---|
| continue | one step, a node, checked and judged by the reward like any other | where a step may follow |
| reflect | a sentence about the last step: a remark `reflection` on it | after a step, not twice in a row |
| backtrack | to an earlier step of the path, the policy's choice, and why: a remark `backtrack`, its `to` the edge | after a step |
| terminate | the answer that stands is kept, or none: the search ends | once an answer was given, or where no step may follow |

`terminate` is not offered before: there is nothing to keep, and a small policy would leave most problems at the first step. Where
one action is left (at the start), it is taken without asking.

A wrong final answer is fed back in words (a remark `feedback`), so that the policy reflects, and corrects by going back. A right
one is not: what follows is the policy's own decision, unless `stop_after` verified leaves end the search. Nor is it told what the
reward says of its steps, which judges them for those who read the tree. The search ends with `turns` actions at the latest.

An answer that names no action offered (an endpoint that keeps to no form) is counted in `format_errors` and asked for again; after
`dialogue.TRIES` of these the item fails with the policy's words. It is not taken for `continue`: trees of actions that
nobody chose would pass for the policy's own. `terminate` changes nothing and saves no round: a search that is cut there asks again.
"""

from services.searcher import dialogue
from services.searcher.candidates import Candidate
from services.searcher.growth import Growth
from services.searcher.policy import ContextFull
from services.searcher.rounds import enough
from shared import prompts
from shared.contracts.stages import SearchStage
from shared.contracts.tree import Node, Remark

PROMPTS = (*dialogue.PROMPTS, "dialogue_act", "dialogue_reflect", "dialogue_back", "dialogue_again")


async def search(growth: Growth, stage: SearchStage) -> None:
    """Grows the tree until the policy ends it, `stop_after` leaves verified, or `turns` are spent."""
    while True:
        dialogue.feed_back(growth)
        if growth.rounds >= stage.turns or enough(growth, stage) or dialogue.overflowed(growth):
            return
        new: list[Candidate] = []
        try:
            node = dialogue.position(growth)
            action = await choose_action(growth, node)
            if action == "terminate":
                return
            if action == "continue":
                new = await dialogue.next_step(growth)
            elif action == "reflect":
                await reflect(growth, node)
            else:
                await backtrack(growth, node)
        except ContextFull:
            dialogue.overflow(growth)
        await growth.record(new)


def offered(growth: Growth, node: Node) -> list[str]:
    """The actions that make sense at `node`."""
    goes_on = dialogue.may_continue(growth, node)
    last = next(reversed(dialogue.events(growth)), None)
    thought = isinstance(last, Remark) and last.kind == "reflection"
    actions = {
        "continue": goes_on,
        "reflect": node.depth > 0 and not thought,
        "backtrack": node.depth > 0,
        "terminate": not goes_on or any(one.final for one in growth.nodes),
    }
    return [action for action, fits in actions.items() if fits]


async def choose_action(growth: Growth, node: Node) -> str:
    """The policy's next action."""
    actions = offered(growth, node)
    ask = prompts.render("dialogue_act", step=node.depth, actions=actions, answered=node.verified is True)
    return await dialogue.choose(growth, ask, actions)


async def reflect(growth: Growth, node: Node) -> None:
    """A thought of the policy about the last step."""
    growth.remark(node.id, "reflection", await dialogue.sentence(growth, prompts.render("dialogue_reflect", step=node.depth)))


async def backtrack(growth: Growth, node: Node) -> None:
    """The policy's choice of an earlier step, and its reason."""
    above = [growth.nodes[0], *growth.path(node.id)[:-1]]
    ask = prompts.render("dialogue_back", step=node.depth, to=None)
    to = above[int(await dialogue.choose(growth, ask, [str(step.depth) for step in above]))]
    why = await dialogue.sentence(growth, prompts.render("dialogue_back", step=node.depth, to=to.depth))
    growth.remark(node.id, "backtrack", why, to=to.id)
