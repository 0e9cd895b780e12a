"""People's scores of an evaluation's samples: taken as CSV, checked line by line, and kept beside the samples."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Row
from starlette.concurrency import run_in_threadpool

from services.gateway.dependencies import LedgerOf, RunOf, Text
from services.gateway.errors import InvalidScores, TooLarge
from services.gateway.people import samples_of
from shared.contracts.grading import SCALED, VERDICTS, verdict_of
from shared.contracts.scores import ALL, RIGHT, WRONG, PersonScore, Scorer
from shared.contracts.thought import Response
from shared.ledger.beside import Beside, places, store_beside
from shared.ledger.database import Ledger
from shared.ledger.items import MAX_ROWS, NewRecord

router = APIRouter(prefix="/runs/{run_id}", tags=["results"])

LARGEST = 2**20
NEEDED = ("model", "problem_id", "scorer", "score")
_SCORER: TypeAdapter[str] = TypeAdapter(Scorer)


class _BadRow(ValueError):
    """What is wrong with a row, in words."""


@router.post("/scores", status_code=201)
async def add_scores(request: Request, ledger: LedgerOf, run: RunOf, stage: Text = None) -> dict[str, Any]:
    """Stores people's scores, a CSV body: `model`, `problem_id`, `scorer`, `score`, and `draw` where there were several samples.

    A score is a number from 0 to 100 where the judge's rubric is one of scores, else one of the rubric's verdicts (without a judge,
    `right` or `wrong`). Other columns are passed over. Each row must name a sample of the run; if one does not, nothing is stored:
    422 with every bad line. A scorer's earlier score of the same sample is replaced.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise TooLarge(f"scores have at most {LARGEST} bytes")
    return await run_in_threadpool(_store, ledger, run.id, bytes(body), stage)


def _store(ledger: Ledger, run_id: str, body: bytes, stage: str | None) -> dict[str, Any]:
    rows = _rows(body)
    samples: defaultdict[tuple[str, str], list[Row[Any]]] = defaultdict(list)
    for row in places(ledger, run_id, "sample", stage):
        model, _, rest = row.key.partition("/")
        samples[model, rest.rpartition("#")[0]].append(row)
    found: list[tuple[int, dict[str, str], Row[Any]]] = []
    bad: list[tuple[int, str]] = []
    for line, said in rows:
        try:
            found.append((line, said, _sample(said, samples)))
        except _BadRow as error:
            bad.append((line, str(error)))
    bodies = _bodies(ledger, run_id, [place for _, _, place in found])
    new: dict[tuple[str, str], tuple[int, Beside]] = {}
    for line, said, place in found:
        try:
            score = _score(said, bodies[place.stage, place.key])
            key = f"{score.sample}@{score.scorer}"
            if (place.item_id, key) in new:
                raise _BadRow(f"{score.scorer} scored this sample in line {new[place.item_id, key][0]} already")
            record = NewRecord("score", key, score.model_dump(mode="json"))
            new[place.item_id, key] = (line, Beside(place.stage, place.item_id, place.fence, record))
        except _BadRow as error:
            bad.append((line, str(error)))
    if bad:
        bad.sort()
        about = f"{len(bad)} bad line{'s' if len(bad) > 1 else ''}; nothing was stored. First: line {bad[0][0]}: {bad[0][1]}"
        raise InvalidScores(about, errors=[{"line": line, "message": message} for line, message in bad], total=len(bad))
    replaced = store_beside(ledger, run_id, [beside for _, beside in new.values()])
    return {"count": len(new), "replaced": replaced}


def _rows(body: bytes) -> list[tuple[int, dict[str, str]]]:
    """The lines of the CSV, by number. Raises InvalidScores for what is no such CSV."""
    try:
        reader = csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        heading = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = heading
        if missing := [name for name in NEEDED if name not in heading]:
            raise InvalidScores(f"line 1: no column {', '.join(f'`{name}`' for name in missing)}", errors=[], total=0)
        rows, last = [], reader.line_num
        for row in reader:
            plain = {
                name: (value or "").strip() for name, value in row.items() if isinstance(name, str) and not isinstance(value, list)
            }
            rows.append((last + 1, plain))
            last = reader.line_num
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidScores(f"the body is no CSV in UTF-8: {error}", errors=[], total=0) from None
    if not rows or len(rows) > MAX_ROWS:
        raise InvalidScores(f"{len(rows)} scores: 1 to {MAX_ROWS:,} are taken at a time", errors=[], total=0)
    return rows


def _sample(row: dict[str, str], samples: dict[tuple[str, str], list[Row[Any]]]) -> Row[Any]:
    """The sample that a row names. Raises _BadRow."""
    if empty := [name for name in NEEDED if not row.get(name)]:
        raise _BadRow(f"`{empty[0]}` is empty")
    model, problem, draw = row["model"], row["problem_id"], row.get("draw", "")
    there = samples.get((model, problem), [])
    if not there:
        known = sorted({name for name, _ in samples})
        if model not in known:
            raise _BadRow(f"no model `{model[:80]}` was measured (measured: {', '.join(known) or 'none yet'})")
        raise _BadRow(f"`{model}` has no sample of problem `{problem[:80]}`")
    if draw and not draw.isdecimal():
        raise _BadRow(f"`draw` is {draw[:40]!r}: a whole number, from 0, is expected")
    matching = [one for one in there if not draw or int(one.key.rpartition("#")[2]) == int(draw)]
    if not matching:
        raise _BadRow(f"`{model}` has no draw {draw} of problem `{problem[:80]}` ({_draws(there)})")
    if len(matching) > 1:
        if len(stages := sorted({one.stage for one in matching})) > 1:
            raise _BadRow(f"measured by several stages ({', '.join(stages)}): say of which, with `stage`")
        raise _BadRow(f"`{model}` has several samples of problem `{problem[:80]}` ({_draws(there)}): say which, in a column `draw`")
    return matching[0]


def _draws(samples: Sequence[Row[Any]]) -> str:
    draws = sorted({int(one.key.rpartition("#")[2]) for one in samples})
    return f"draws {draws[0]} to {draws[-1]}" if len(draws) > 1 else f"draw {draws[0]} alone"


def _score(row: dict[str, str], sample: Response) -> PersonScore:
    """A row as the score of its sample. Raises _BadRow."""
    said, judgement = row["score"], sample.judgement
    score = None
    try:
        scorer = _SCORER.validate_python(row["scorer"])
    except ValidationError:
        raise _BadRow(f"`scorer` is {row['scorer'][:40]!r}: 1 to 30 characters are expected, and not `{ALL}`") from None
    if judgement is not None and judgement.rubric in SCALED:
        try:
            score = float(said)
        except ValueError:
            score = -1.0
        if not 0 <= score <= 100:
            raise _BadRow(f"`score` is {said[:40]!r}: a number from 0 to 100 is expected, as by the rubric {judgement.rubric}")
        verdict = verdict_of(judgement.rubric, score, judgement.pass_mark or 0.0)
    else:
        known = VERDICTS[judgement.rubric] if judgement else (RIGHT, WRONG)
        verdict = said.casefold()
        if verdict not in known:
            by = f"by the rubric {judgement.rubric}" if judgement else "where no judge was asked"
            raise _BadRow(f"`score` is {said[:40]!r}: one of {', '.join(known)} is expected, {by}")
    return PersonScore(
        sample=sample.id,
        model=sample.model,
        problem_id=sample.problem_id,
        draw=sample.draw,
        scorer=scorer,
        verdict=verdict,
        score=score,
    )


def _bodies(ledger: Ledger, run_id: str, wanted: Sequence[Row[Any]]) -> dict[tuple[str, str], Response]:
    """(stage, key) -> sample."""
    by_stage: defaultdict[str, set[str]] = defaultdict(set)
    for place in wanted:
        by_stage[place.stage].add(place.key)
    return {(stage, one.id): one for stage, keys in by_stage.items() for one in samples_of(ledger, run_id, stage, sorted(keys))}
