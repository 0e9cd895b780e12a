"""beam: round by round, `width` steps for each of the at most `keep` survivors, down to `max_depth` (method: section 1).

Pruning of a round, among the steps that can go on (final steps and dead ends stay as leaves and take no place):

- scored reward: the `keep` highest scores go on;
- judged reward: at most `keep` steps that were not called incorrect, correct ones before unknown ones. Steps called incorrect stay
  as leaves, with the reason: they are the wrong turns of the long thoughts. If all were called incorrect, the branch ends there:
  what would grow from a wrong sum is neither a right path nor a better mistake.

Ties go to the step that was sampled more often (`multiplicity`), then to the one sampled first.
"""

from collections.abc import Sequence

from services.searcher.growth import Candidate, Growth, Rule
from shared.contracts.recipe import SearchStage
from shared.contracts.tree import Verdict


async def search(growth: Growth, stage: SearchStage) -> None:
    """Grows the tree until nothing is open, `max_depth` is reached, or `stop_after` leaves verified."""
    while growth.rounds < stage.max_depth and (stage.stop_after is None or growth.verified < stage.stop_after):
        frontier = growth.open_at(depth=growth.rounds)
        if not frontier:
            return
        candidates = await growth.propose(frontier, stage.width)
        candidates = await growth.check(candidates)
        await growth.judge(candidates)
        prune(candidates, stage.keep, growth.reward.rule)
        await growth.record(candidates)


def prune(candidates: Sequence[Candidate], keep: int, rule: Rule) -> None:
    """Marks the at most `keep` steps of a round that go on (`kept`); final steps are leaves that pruning does not touch."""
    able = [one for one in candidates if one.open]
    if rule is Rule.JUDGED:
        able = [one for one in able if one.judgement.verdict is not Verdict.INCORRECT]
    chosen = sorted(able, key=_rank)[:keep]  # a stable sort: ties stay in order of sampling
    for one in candidates:
        one.kept = one.final or any(one is other for other in chosen)


def _rank(candidate: Candidate) -> tuple[float, int]:
    """Lowest first: highest score (none: last), then highest multiplicity. A judge's scores order its verdicts, too."""
    score = candidate.judgement.score
    return (-1.0 if score is None else score) * -1, -candidate.multiplicity
