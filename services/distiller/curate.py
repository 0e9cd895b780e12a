"""Curation: which problems are taught from, and of each that is not, which rule it fell to and why."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from services.distiller.contamination import Benchmarks
from services.distiller.duplicates import Seen
from services.distiller.rules import RULES
from shared.contracts.problem import Problem
from shared.contracts.report import Fallen
from shared.contracts.stages import CurateStage
from shared.contracts.stages.data import Difficulty
from shared.contracts.thought import Response

EXAMPLES = 3
"""Of each rule, so many problems are shown in the report."""


@dataclass
class Curated:
    """What came of a set of problems, by their places in it."""

    kept: dict[int, Problem] = field(default_factory=dict)
    dropped: dict[int, Fallen] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Rule -> problems that fell to it."""
        return dict(Counter(fallen.rule for fallen in self.dropped.values()))

    def examples(self) -> dict[str, tuple[Fallen, ...]]:
        """The first problems that fell to each rule."""
        found: dict[str, list[Fallen]] = defaultdict(list)
        for fallen in self.dropped.values():
            if len(found[fallen.rule]) < EXAMPLES:
                found[fallen.rule].append(fallen)
        return {rule: tuple(fallen) for rule, fallen in found.items()}


def curate(
    problems: Iterable[Problem],
    stage: CurateStage,
    benchmarks: Benchmarks | None,
    pass_rates: Mapping[str, float] | None,
    progress: Callable[[int], None] = lambda done: None,
) -> Curated:
    """Rules in this order: the stage's own, decontamination, difficulty, near-duplicates, count; a problem falls to the first.

    `pass_rates`: problem id -> share of right samples, where the stage has a difficulty band.
    """
    seen = Seen(stage.near_duplicates) if stage.near_duplicates is not None else None
    found = Curated()
    for place, problem in enumerate(problems):
        fell = _first_reason(problem, stage, benchmarks, pass_rates)
        if fell is None and seen is not None and (reason := seen.duplicate_of(problem)):
            fell = "near_duplicate", reason
        if fell is None and stage.count is not None and len(found.kept) >= stage.count:
            fell = "count", f"{stage.count} problems before it passed"
        if fell is None:
            found.kept[place] = problem
        else:
            found.dropped[place] = Fallen(problem_id=problem.id, question=problem.question[:300], rule=fell[0], reason=fell[1])
        progress(place + 1)
    return found


def _first_reason(
    problem: Problem, stage: CurateStage, benchmarks: Benchmarks | None, pass_rates: Mapping[str, float] | None
) -> tuple[str, str] | None:
    """The rule that a problem falls to, and why; None if it passes those that need no other problem of the set."""
    for name in stage.rules:
        if reason := RULES[name](problem, stage):
            return name, reason
    if benchmarks is not None and (reason := benchmarks.find(problem)):
        return "contamination", reason
    if stage.difficulty is not None and pass_rates is not None:
        return _difficulty(problem, stage.difficulty, pass_rates)
    return None


def _difficulty(problem: Problem, band: Difficulty, pass_rates: Mapping[str, float]) -> tuple[str, str] | None:
    rate = pass_rates.get(problem.id)
    if rate is None:
        return "not_measured", f"stage {band.measured} has no graded sample of it"
    if rate < band.at_least:
        return "too_hard", f"{rate:.0%} of the samples are right, less than {band.at_least:.0%}"
    return ("too_easy", f"{rate:.0%} of the samples are right, more than {band.at_most:.0%}") if rate > band.at_most else None


def pass_rates(samples: Iterable[Response], model: str) -> dict[str, float]:
    """Problem id -> share of right ones among a model's samples that could be graded."""
    right: Counter[str] = Counter()
    graded: Counter[str] = Counter()
    for sample in samples:
        if sample.model == model and sample.grading_error is None:
            graded[sample.problem_id] += 1
            right[sample.problem_id] += sample.verified
    return {problem: right[problem] / count for problem, count in graded.items()}
