"""People's scores beside the machine's verdicts on the same samples, for the report."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import StatisticsError, correlation, fmean
from typing import Any

from sqlalchemy import Row

from shared.contracts.grading import VERDICTS
from shared.contracts.scores import ALL, RIGHT, WRONG, PeopleScore, PersonScore
from shared.contracts.thought import Response
from shared.ledger.database import Ledger
from shared.ledger.records import records_by_key

PAGE = 500


def samples_of(ledger: Ledger, run_id: str, stage: str, keys: Sequence[str]) -> Iterator[Response]:
    """A stage's samples by their ids."""
    for first in range(0, len(keys), PAGE):
        for body in records_by_key(ledger, run_id, stage, "sample", keys[first : first + PAGE]):
            yield Response.model_validate(body)


def people(ledger: Ledger, run_id: str, rows: Iterable[Row[Any]]) -> dict[str, list[dict[str, Any]]]:
    """Stage -> people's scores by model and scorer, beside the machine's of the same samples; `rows` are `score` records."""
    by_stage: defaultdict[str, list[PersonScore]] = defaultdict(list)
    for row in rows:
        by_stage[row.stage].append(PersonScore.model_validate(row.body))
    report = {}
    for stage, scores in by_stage.items():
        samples = {one.id: one for one in samples_of(ledger, run_id, stage, sorted({score.sample for score in scores}))}
        groups: defaultdict[tuple[str, str], list[PersonScore]] = defaultdict(list)
        for score in scores:
            if score.sample in samples:
                groups[score.model, score.scorer].append(score)
        for model in sorted({model for model, _ in groups}):
            mine = [group for (name, _), group in sorted(groups.items()) if name == model]
            if len(mine) > 1:
                groups[model, ALL] = [score for group in mine for score in group]
        ordered = sorted(groups, key=lambda pair: (pair[0], pair[1] == ALL, pair[1]))
        report[stage] = [compared(*pair, groups[pair], samples).model_dump(mode="json") for pair in ordered]
    return report


def compared(model: str, scorer: str, scores: Sequence[PersonScore], samples: dict[str, Response]) -> PeopleScore:
    """Figures of some scores, each score counting the same, whatever its problem."""
    graded = [(score, samples[score.sample]) for score in scores if samples[score.sample].grading_error is None]
    both = [(score.score, said.score) for score, one in graded if (said := one.judgement) and score.score is not None]
    pairs = [(float(mine), float(other)) for mine, other in both if other is not None]
    numbers = [score.score for score in scores if score.score is not None]
    return PeopleScore(
        model=model,
        scorer=scorer,
        n=len(scores),
        right=fmean(_is_right(score.verdict, one) for score, one in graded) if graded else None,
        machine_right=fmean(one.verified for _, one in graded) if graded else None,
        equal=fmean(score.verdict == _machine(one) for score, one in graded) if graded else None,
        mean=fmean(mine for mine, _ in pairs) if pairs else fmean(numbers) if numbers else None,
        machine_mean=fmean(other for _, other in pairs) if pairs else None,
        correlation=_correlation(pairs),
    )


def _machine(sample: Response) -> str | None:
    return sample.judgement.verdict if sample.judgement else RIGHT if sample.verified else WRONG


def _is_right(verdict: str, sample: Response) -> bool:
    return verdict == (VERDICTS[sample.judgement.rubric][0] if sample.judgement else RIGHT)


def _correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    try:
        return max(-1.0, min(1.0, correlation(*zip(*pairs, strict=True)))) if len(pairs) > 1 else None
    except StatisticsError:  # one side is constant
        return None
