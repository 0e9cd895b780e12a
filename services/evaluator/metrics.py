"""The figures of a report, each a pure function of samples.

Notation: a problem has n graded samples, c of them right. Every problem weighs the same, whatever its n.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from shared.answers.canonical import canonical
from shared.answers.vote import majority
from shared.contracts.thought import Response
from shared.statistics import words_of

Counts = Sequence[tuple[int, int]]
"""(n, c) of every problem, n at least 1."""


def graded_by_problem(samples: Iterable[Response]) -> list[list[Response]]:
    """The samples that could be graded, problem by problem; a problem none of whose samples could be is not among them."""
    problems: defaultdict[str, list[Response]] = defaultdict(list)
    for sample in samples:
        if sample.grading_error is None:
            problems[sample.problem_id].append(sample)
    return list(problems.values())


def counts_of(samples: Iterable[Response]) -> Counts:
    """(n, c) of every problem of which at least one sample could be graded."""
    return [(len(group), sum(sample.verified for sample in group)) for group in graded_by_problem(samples)]


def average_tokens(samples: Sequence[Response]) -> float:
    """Mean output tokens of a sample, graded or not: all of them were paid for."""
    return sum(sample.completion_tokens for sample in samples) / len(samples)


def pass_at_1(counts: Counts) -> float:
    """Mean over problems of c / n."""
    return math.fsum(c / n for n, c in counts) / len(counts)


def standard_error(counts: Counts) -> float:
    """Standard error of `pass_at_1`, clustered by problem: samples of one problem are not independent, problems are.

    With equal weights that is the standard deviation of the problems' shares over the root of their number (Miller, "Adding error
    bars to evals", 2024; with the N-1 of a small sample). One problem tells nothing of the spread: the bound 0.5 is given then.
    """
    if len(counts) == 1:
        return 0.5
    mean = pass_at_1(counts)
    squares = math.fsum((c / n - mean) ** 2 for n, c in counts)
    return math.sqrt(squares / (len(counts) * (len(counts) - 1)))


def pass_at_k(counts: Counts, k: int) -> float:
    """Mean over problems of the unbiased estimate 1 - C(n-c, k) / C(n, k) (Chen et al., 2021, section 2.1).

    A problem of fewer than k samples counts with all it has.
    """
    return math.fsum(1 - math.comb(n - c, min(k, n)) / math.comb(n, min(k, n)) for n, c in counts) / len(counts)


def majority_right(samples: Sequence[Response], weights: Sequence[float] | None = None) -> float:
    """Probability that the majority of one problem's samples is right, ties drawn evenly; 0 if none states an answer.

    An answer whose samples were graded differently counts with the share of them that is right. `weights`: of the samples' votes.
    """
    graded: defaultdict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        if sample.extracted is not None:
            graded[canonical(sample.extracted)].append(sample.verified)
    won = majority([sample.extracted for sample in samples], weights)
    return math.fsum(part * share(graded[answer]) for answer, part in won.items())


def with_weights(problems: Iterable[Sequence[Response]]) -> list[list[Response]]:
    """Of every problem the samples whose votes have a weight; a problem without any is not among them."""
    found = ([sample for sample in group if sample.weight is not None] for group in problems)
    return [group for group in found if group]


def weighted_right(samples: Sequence[Response]) -> float:
    """As `majority_right`, every vote counted by its weight; all of `samples` have one."""
    return majority_right(samples, [sample.weight for sample in samples if sample.weight is not None])


def share(flags: Sequence[bool]) -> float:
    """The part of `flags` that is true."""
    return sum(flags) / len(flags)


def keyword_rates(texts: Sequence[str], keywords: Sequence[str]) -> dict[str, float]:
    """Share of texts that hold each keyword as a word of its own, whatever its case; of scripts without spaces, anywhere."""
    return {word: share([bool(words_of(word).search(text)) for text in texts]) for word in keywords}
