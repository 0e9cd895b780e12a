"""mcts: Monte-Carlo tree search: `simulations` walks from the root, each to where the values so far say that it is most worth
it.

One simulation is one round:

1. Selection: from the root down to a leaf, by `formula` at each node. Of a child with n visits and mean value q below a parent
   with N:
   - `uct`: q + c * sqrt(ln N / n), a child without visits first (Kocsis and Szepesvari, 2006);
   - `puct`: q + c * P * sqrt(N) / (1 + n), where P is the child's share of its siblings' multiplicities, which is how often the
     policy sampled it, and q of a child without visits its own worth (Silver et al., 2017).
   c is `exploration`. Ties go to the higher worth, then to the one sampled more often, then to the first.
2. Expansion: `width` children of that leaf, in one request, judged in one call; the walk takes one more step, to the first of
   them by the formula, or, unless all are such, the first that is neither a dead end nor called incorrect.
3. Back-up: what the walk's last node is worth goes into `visits` and `value` (the mean) of all nodes on the walk, the root's
   too.

What a node is worth: the value of its path by the reward (`Growth.value`), be that a share of rollouts, a reward model's score
or a judge's; without a score 0, as pruning ranks such steps last. Of a final step its own answer decides: 1 if it verified,
else 0.

No simulation is spent on what can't grow. Not expanded, hence not selected: steps that a judged reward called incorrect (`kept`
is false), dead ends, nodes at `max_depth`, nodes that were asked in vain (`kept` is false), and nodes below which all is such.
A final step is selected once, for its value. The search ends when nothing is left to select, or with `stop_after` verified
leaves.

All this follows from the nodes, so a search that was cut goes on from its saved rounds; the root's visits are the simulations
done.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

from services.searcher.candidates import Candidate
from services.searcher.growth import Growth
from services.searcher.rounds import enough, expand, may_go_on, prune
from shared.contracts.stages import SearchStage
from shared.contracts.tree import Node

Step = TypeVar("Step", Candidate, Node)


async def search(growth: Growth, stage: SearchStage) -> None:
    """Grows the tree by simulations; a problem's are one after another, and other problems' run meanwhile."""
    while growth.nodes[0].visits < stage.simulations and not enough(growth, stage):
        walk = selected(growth, stage)
        if not walk:
            return
        leaf = walk[-1]
        new = [] if leaf.final else await expand(growth, [leaf], stage.width)
        prune(growth, new, keep=len(new))
        if new:
            able = [one for one in new if one.final or may_go_on(one, growth.reward.rule)]
            best = preferred(growth, stage, leaf, able or new, among=new)
            found = worth(growth, best)
            best.visits, best.value = 1, found
        else:
            found = worth(growth, leaf)
            if not leaf.final:
                growth.change(leaf.id, kept=False)
        for node in walk:
            visits = node.visits + 1
            growth.change(node.id, visits=visits, value=((node.value or 0.0) * node.visits + found) / visits)
        await growth.record(new)


def selected(growth: Growth, stage: SearchStage) -> list[Node]:
    """The walk from the root to the leaf that the next simulation is spent on; empty if none is worth one."""
    children: list[list[Node]] = [[] for _ in growth.nodes]
    for node in growth.nodes[1:]:
        children[node.parent or 0].append(node)
    growing: set[int] = set()
    for node in reversed(growth.nodes):  # children have higher ids than their parents
        if children[node.id]:
            grows = any(child.id in growing for child in children[node.id])
        elif node.final:
            grows = node.visits == 0
        else:
            grows = node.kept and node.ended is None and node.depth < stage.max_depth
        if grows:
            growing.add(node.id)
    if 0 not in growing:
        return []
    walk = [growth.nodes[0]]
    while kids := children[walk[-1].id]:
        best = preferred(growth, stage, walk[-1], [kid for kid in kids if kid.id in growing], among=kids)
        walk.append(growth.nodes[best.id])
    return walk


def preferred(growth: Growth, stage: SearchStage, parent: Node, able: Sequence[Step], among: Sequence[Step]) -> Step:
    """The one of the `able` children that the formula puts first. `among`: all children of the parent."""
    sampled = sum(one.multiplicity for one in among)

    def key(one: Step) -> tuple[float, float, int]:
        own = worth(growth, one)
        mean = own if one.value is None else one.value
        if stage.formula == "puct":
            urge = mean + stage.exploration * one.multiplicity / sampled * math.sqrt(parent.visits) / (1 + one.visits)
        elif one.visits:
            urge = mean + stage.exploration * math.sqrt(math.log(parent.visits) / one.visits)
        else:
            urge = math.inf
        return urge, own, one.multiplicity

    return max(able, key=key)


def worth(growth: Growth, step: Candidate | Node) -> float:
    """What a simulation that ends at `step` comes to."""
    if step.final:
        return float(step.verified is True)
    return growth.value(step) or 0.0
