"""beam: round by round, `width` steps for each of the at most `keep` survivors, down to `max_depth` (method: section 1).

How a round is asked and pruned: `services.searcher.rounds`. If all steps of a node were called incorrect (or dropped), it is
asked again, up to `retries` times; if none of the round may go on then, the search is at its end.

`keep_exploring`: a tree without mistakes teaches no journey, and one without a right path none at all. So until the tree has a
right branch and a wrong one, the search goes on, past `stop_after` too, for `max_depth` rounds at most. Where nothing is left
to expand (with a judged reward, all steps of a round stated answers or were called incorrect), it does three things, in this
order:

1. Nodes that gave nothing but answers are asked again like those whose steps were all called incorrect, by `retries`.
2. Steps called incorrect stay leaves all the same: what is explored instead are steps that an earlier round pruned for want of
   place. At most `keep` are taken up again (and marked `kept`): the best of them if a right branch is missing; if only a wrong
   one is, the worst, which go wrong soonest.
3. If none was pruned, the search ends without.
"""

from collections.abc import Sequence

from services.searcher.candidates import Candidate
from services.searcher.growth import Growth
from services.searcher.rounds import enough, expand, may_go_on, missing, prune, rank
from shared.contracts.stages import SearchStage
from shared.contracts.tree import Node


async def search(growth: Growth, stage: SearchStage) -> None:
    """Grows the tree until nothing is left to expand, `max_depth` is reached, or `stop_after` leaves verified."""

    def finals_do(candidates: Sequence[Candidate]) -> bool:
        """Whether a node that gave answers alone has done its part: not if the search would end there, too early."""
        going_on = any(may_go_on(one, growth.reward.rule) for one in candidates)
        return going_on or not stage.keep_exploring or not missing(growth, candidates)

    while growth.rounds < stage.max_depth:
        exploring = stage.keep_exploring and bool(missing(growth))
        if enough(growth, stage) and not exploring:
            return
        frontier = growth.frontier or (taken_up(growth, stage.keep) if exploring else [])
        if not frontier:
            return
        candidates = await expand(growth, frontier, stage.width, stage.retries, finals_do)
        prune(growth, candidates, stage.keep)
        await growth.record(candidates)


def taken_up(growth: Growth, most: int) -> list[Node]:
    """Steps that were pruned and now go on. (No deeper than there were rounds, so the paths stay within `max_depth`.)"""
    pruned = [node for node in growth.nodes if not node.kept and may_go_on(node, growth.reward.rule)]
    pruned.sort(key=lambda node: rank(growth, node), reverse="right" not in missing(growth))
    for node in pruned[:most]:
        growth.change(node.id, kept=True)
    return [growth.nodes[node.id] for node in pruned[:most]]
