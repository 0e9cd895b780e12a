"""Rounds: what strategies that go round by round have in common: to ask and judge, and ask again; to prune; to see what is found.

Pruning, among the steps that can go on (final steps and dead ends stay as leaves and take no place):

- scored reward: those with the highest values go on;
- judged reward: the same among the steps that were not called incorrect. Those that were stay as leaves, with the reason: they are
  the wrong turns of the long thoughts. What would grow from a wrong sum is neither a right path nor a better mistake.

A step's value is that of the path to it: its scores by the reward's `aggregate`, so with `last` its own, which a judge gives in the
order of its verdicts. Ties go to the step that was sampled more often (`multiplicity`), then to the one sampled first.
"""

from collections.abc import Callable, Sequence

from services.searcher.candidates import Candidate, Rule
from services.searcher.growth import Growth
from shared.contracts.stages import SearchStage
from shared.contracts.tree import Node, Verdict


async def expand(
    growth: Growth,
    frontier: Sequence[Node],
    width: int,
    retries: int = 0,
    finals_do: Callable[[Sequence[Candidate]], bool] = lambda candidates: True,
) -> list[Candidate]:
    """The judged candidates of a round. A node without a way on is asked again, up to `retries` times.

    A small policy often makes the same slip in all of its samples. A final step is a way on, too, if `finals_do`, given the
    candidates so far.
    """
    candidates: list[Candidate] = []
    for _ in range(1 + retries):
        new = await growth.check(await growth.propose(frontier, width, among=candidates))
        await growth.judge(new)
        candidates += new
        final = finals_do(candidates)
        able = {one.parent for one in candidates if (one.final and final) or may_go_on(one, growth.reward.rule)}
        frontier = [node for node in frontier if node.id not in able and growth.nodes[node.id].ended is None]
        if not frontier:
            break
    return candidates


def may_go_on(step: Candidate | Node, rule: Rule) -> bool:
    """Whether pruning may keep a step for expansion."""
    verdict = step.judgement.verdict if isinstance(step, Candidate) else step.verdict
    return not step.final and step.ended is None and (rule is Rule.SCORED or verdict is not Verdict.INCORRECT)


def prune(growth: Growth, candidates: Sequence[Candidate], keep: int) -> None:
    """Marks the at most `keep` steps of a round that go on (`kept`); final steps are leaves that pruning does not touch."""
    able = [one for one in candidates if may_go_on(one, growth.reward.rule)]
    chosen = sorted(able, key=lambda one: rank(growth, one))[:keep]  # a stable sort: ties stay in order of sampling
    for one in candidates:
        one.kept = one.final or any(one is other for other in chosen)


def rank(growth: Growth, step: Candidate | Node) -> tuple[float, int]:
    """Lowest first: highest value (none: last), then highest multiplicity."""
    value = growth.value(step)
    return 1.0 if value is None else -value, -step.multiplicity


def enough(growth: Growth, stage: SearchStage) -> bool:
    """Whether `stop_after` leaves verified."""
    return stage.stop_after is not None and growth.verified >= stage.stop_after


def missing(growth: Growth, candidates: Sequence[Candidate] = ()) -> set[str]:
    """Which of "right" and "wrong" the tree (with a round's candidates) has no branch of.

    A right branch ends at a verified leaf. A wrong one ends at a wrong answer, or has a step that was called incorrect and from
    which no verified leaf grew.
    """
    ends = [node.id for node in growth.nodes if node.verified] + [one.parent for one in candidates if one.verified]
    right = {step.id for end in ends for step in growth.path(end)}
    found = {"right"} if ends else set()
    if any(node.verified is False or (node.verdict is Verdict.INCORRECT and node.id not in right) for node in growth.nodes):
        found.add("wrong")
    if any(one.verified is False or (one.judgement.verdict is Verdict.INCORRECT and not one.verified) for one in candidates):
        found.add("wrong")
    return {"right", "wrong"} - found
