"""Breakdowns: the figures of a model by subject and by level of the problems."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.evaluator import metrics
from shared.contracts.report import GroupScore
from shared.contracts.thought import Response


@dataclass(frozen=True)
class Traits:
    """What a problem is grouped by."""

    subject: str | None
    level: int | None


def traits_of(bodies: Iterable[Mapping[str, Any]], measured: set[str]) -> dict[str, Traits]:
    """Problem id -> its traits, of those problems (as JSON) that were measured; each body is looked at once and not kept."""
    return {body["id"]: Traits(body.get("subject"), body.get("level")) for body in bodies if body["id"] in measured}


def by_subject(samples: Sequence[Response], traits: Mapping[str, Traits]) -> dict[str, GroupScore]:
    """Subject -> one model's figures, in alphabetical order; a subject none of whose samples could be graded is left out."""
    subjects = {problem: found.subject for problem, found in traits.items() if found.subject}
    return _scores(samples, subjects, sorted(set(subjects.values()), key=lambda subject: (subject.casefold(), subject)))


def by_level(samples: Sequence[Response], traits: Mapping[str, Traits]) -> dict[str, GroupScore]:
    """Level -> one model's figures, from the lowest level up; a level none of whose samples could be graded is left out."""
    levels = {problem: found.level for problem, found in traits.items() if found.level is not None}
    return _scores(samples, {problem: str(level) for problem, level in levels.items()}, map(str, sorted(set(levels.values()))))


def _scores(samples: Sequence[Response], group_of: Mapping[str, str], order: Iterable[str]) -> dict[str, GroupScore]:
    groups: defaultdict[str, list[Response]] = defaultdict(list)
    for sample in samples:
        if sample.problem_id in group_of:
            groups[group_of[sample.problem_id]].append(sample)
    scores = {}
    for name in order:
        counts = metrics.counts_of(groups[name])
        if counts:
            scores[name] = GroupScore(
                n=len(counts),
                samples=len(groups[name]),
                pass_at_1=metrics.pass_at_1(counts),
                stderr=metrics.standard_error(counts),
                avg_tokens=metrics.average_tokens(groups[name]),
            )
    return scores
