"""dvts: diverse verifier tree search: `subtrees` independent subtrees, each a greedy search of its own.

Beeching, Tunstall and Rush, "Scaling test-time compute with open models" (Hugging Face, 2024), section "DVTS: boosting
performance with diversity": a beam soon holds descendants of one step; subtrees that do not compete keep apart.

- First round: `width` x `subtrees` samples of the first step, in one request. Equal ones merge; the distinct ones that may go
  on are dealt out to the subtrees in turn, and each keeps the best of its own. A policy that offers fewer distinct first steps
  than `subtrees` gets fewer subtrees: two with the same first step would be one.
- Each round after: `width` steps for the node that each subtree stands at, all subtrees at once, one request a node. Each keeps
  its best one, by value and, with a judged reward, among those not called incorrect (`services.searcher.rounds`).

What was not kept stays as a leaf of the tree. A final step is a leaf and takes no place, so a subtree goes on beside it; it
ends where none of its steps may go on, though its node is asked up to `retries` times more.
"""

from collections.abc import Sequence

from services.searcher.candidates import Candidate
from services.searcher.growth import Growth
from services.searcher.rounds import enough, expand, may_go_on, prune
from shared.contracts.stages import SearchStage


async def search(growth: Growth, stage: SearchStage) -> None:
    """Grows the subtrees until each has ended, `max_depth` is reached, or `stop_after` leaves verified."""
    while growth.rounds < stage.max_depth and not enough(growth, stage):
        frontier = growth.frontier
        if not frontier:
            return
        first = growth.rounds == 0
        candidates = await expand(growth, frontier, stage.width * (stage.subtrees if first else 1), stage.retries)
        for family in dealt(growth, candidates, stage.subtrees) if first else families(candidates):
            prune(growth, family, keep=1)
        await growth.record(candidates)


def dealt(growth: Growth, candidates: Sequence[Candidate], hands: int) -> list[list[Candidate]]:
    """First steps by subtree, in turn, those that may go on first, so that as many subtrees as possible have one."""
    able_first = sorted(candidates, key=lambda one: not may_go_on(one, growth.reward.rule))
    return [able_first[hand::hands] for hand in range(hands)]


def families(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Candidates by parent: the node that a subtree stands at."""
    found: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        found.setdefault(candidate.parent, []).append(candidate)
    return list(found.values())
