"""beam: round by round, `width` steps for each of the at most `keep` survivors, down to `max_depth` (method: section 1).

Pruning of a round, among the steps that can go on (final steps and dead ends stay as leaves and take no place):

- scored reward: the `keep` highest scores go on;
- judged reward: at most `keep` steps that were not called incorrect, correct ones before unknown ones. Steps called incorrect stay
  as leaves, with the reason: they are the wrong turns of the long thoughts. If all were called incorrect, the branch ends there:
  what would grow from a wrong sum is neither a right path nor a better mistake.

Before it ends there, a node whose steps were all called incorrect (or dropped) is asked again, up to `retries` times: a small
policy often makes the same slip in all of its samples.

Ties go to the step that was sampled more often (`multiplicity`), then to the one sampled first.
"""

from collections.abc import Sequence

from services.searcher.growth import Candidate, Growth, Rule
from shared.contracts.recipe import SearchStage
from shared.contracts.tree import Node, Verdict


async def search(growth: Growth, stage: SearchStage) -> None:
    """Grows the tree until nothing is open, `max_depth` is reached, or `stop_after` leaves verified."""
    while growth.rounds < stage.max_depth and (stage.stop_after is None or growth.verified < stage.stop_after):
        frontier = growth.open_at(depth=growth.rounds)
        if not frontier:
            return
        candidates = await expand(growth, stage, frontier)
        prune(candidates, stage.keep, growth.reward.rule)
        await growth.record(candidates)


async def expand(growth: Growth, stage: SearchStage, frontier: Sequence[Node]) -> list[Candidate]:
    """The judged candidates of a round; nodes without a way on are asked again."""
    candidates: list[Candidate] = []
    for _ in range(1 + stage.retries):
        new = await growth.check(await growth.propose(frontier, stage.width, among=candidates))
        await growth.judge(new)
        candidates += new
        able = {one.parent for one in candidates if one.final or may_go_on(one, growth.reward.rule)}
        frontier = [node for node in frontier if node.id not in able and growth.nodes[node.id].ended is None]
        if not frontier:
            break
    return candidates


def may_go_on(candidate: Candidate, rule: Rule) -> bool:
    """Whether pruning may keep a candidate for expansion."""
    return candidate.open and (rule is Rule.SCORED or candidate.judgement.verdict is not Verdict.INCORRECT)


def prune(candidates: Sequence[Candidate], keep: int, rule: Rule) -> None:
    """Marks the at most `keep` steps of a round that go on (`kept`); final steps are leaves that pruning does not touch."""
    able = [one for one in candidates if may_go_on(one, rule)]
    chosen = sorted(able, key=_rank)[:keep]  # a stable sort: ties stay in order of sampling
    for one in candidates:
        one.kept = one.final or any(one is other for other in chosen)


def _rank(candidate: Candidate) -> tuple[float, int]:
    """Lowest first: highest score (none: last), then highest multiplicity. A judge's scores order its verdicts, too."""
    score = candidate.judgement.score
    return (-1.0 if score is None else score) * -1, -candidate.multiplicity
