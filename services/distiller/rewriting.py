"""The work items that make new samples of old ones: `reformat`, `annotate` and `translate` ask a teacher, `select` chooses."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from services.distiller import annotate as annotating
from services.distiller import reformat as reformatting
from services.distiller import select as selecting
from services.distiller import translate as translating
from services.distiller.asking import UNGRADED, Asked, Teacher
from services.distiller.solutions import Unusable, worked_solution
from shared import prompts
from shared.answers.extract import final_answer
from shared.contracts.problem import Problem
from shared.contracts.report import NgramCount, SelectionReport
from shared.contracts.stages import AnnotateStage, ReformatStage, SelectStage, TranslateStage
from shared.contracts.thought import Example, Response
from shared.ledger.items import NewRecord, Result
from shared.ledger.records import PAGE
from shared.work.context import Work
from shared.work.registry import Hopeless, handles


@handles("reformat")
async def reformat(work: Work) -> Result:
    """One `example` of one problem: its solution as the teacher rewrote it, or as it was. None without a solution to use."""
    stage: ReformatStage = work.stage
    problem = await one_problem(work)
    try:
        text = await worked_solution(problem)
    except Unusable as reason:
        failed = {str(reason): 1}
        return Result([tally(work, 0, 0, failed)], summary={"examples": 0, "rewritten": 0, "passed_over": failed})
    teacher = await _teacher(work)
    asked = await reformatting.reformat(problem, teacher, stage.retries)
    origin = work.origin()
    if asked.answer is not None:
        text, origin = asked.answer.text, work.origin(model=teacher.uri, prompt=prompts.version(reformatting.PROMPT))
    example = Example(
        id=problem.id, problem_id=problem.id, question=problem.question, answer=problem.answer, origin=origin, text=text
    )
    summary = {"examples": 1, "rewritten": int(asked.answer is not None), **_counted("kept_original", asked)}
    record = NewRecord("example", example.id, example.model_dump(mode="json"))
    return Result([record, _tally_of(work, asked)], summary=summary)


@handles("annotate")
async def annotate(work: Work) -> Result:
    """One verified `response` of one problem with a sketch: the sketch expanded; none where no expansion passed the checks."""
    stage: AnnotateStage = work.stage
    problem = await one_problem(work)
    sketch = annotating.sketch_of(problem)
    if not sketch:
        failed = {"no sketch": 1}
        return Result([tally(work, 0, 0, failed)], summary={"responses": 0, "passed_over": failed})
    teacher = await _teacher(work)
    asked = await annotating.annotate(problem, sketch, teacher, stage.retries)
    if (answer := asked.answer) is None:
        return Result([_tally_of(work, asked)], summary={"responses": 0, **_counted("passed_over", asked)})
    response = Response(
        id=f"{problem.id}#0",
        problem_id=problem.id,
        question=problem.question,
        answer=problem.answer,
        origin=work.origin(model=teacher.uri, prompt=prompts.version(annotating.PROMPT)),
        text=answer.text,
        model=teacher.uri,
        finish_reason=answer.finish_reason,
        extracted=final_answer(answer.text),
        verified=True,  # the checks did
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
    )
    record = NewRecord("response", response.id, response.model_dump(mode="json"))
    return Result([record, _tally_of(work, asked)], summary={"responses": 1, **_counted("passed_over", asked)})


@handles("translate")
async def translate(work: Work) -> Result:
    """A `response` for each verified one that could be translated, and the verified originals, too, if they are to be kept."""
    stage: TranslateStage = work.stage
    source = work.payload.stage or ""
    bodies = await work.records_by_key(source, "response", work.payload.keys)
    teacher = await _teacher(work)
    origin = work.origin(model=teacher.uri, prompt=prompts.version(translating.PROMPT))
    passed_over: Counter[str] = Counter()
    questions: dict[str, Asked] = {}
    records, asked_for, translated, retries = [], 0, 0, 0
    for original in map(Response.model_validate, bodies):
        if reason := translating.unfit(original):
            passed_over[reason] += 1
            continue
        asked_for += 1
        # two stages may have responses of one id
        identity = original.id if len(stage.responses) == 1 else f"{source}/{original.id}"
        if original.question not in questions:
            question = await translating.translated(original.question, f"{identity}/question", stage, teacher, None)
            questions[original.question] = question
            retries += question.retries
        found = await translating.translate(original, stage, teacher, origin, questions[original.question], identity)
        retries += found.retries
        kept = [original.model_copy(update={"id": identity})] if stage.keep_originals else []
        if found.response is None:
            passed_over[found.failed or ""] += 1
        else:
            kept.append(found.response)
            translated += 1
        records += [NewRecord("response", one.id, one.model_dump(mode="json")) for one in kept]
    failed = dict(sorted(passed_over.items()))
    summary = {"responses": len(records), "translated": translated, "retries": retries}
    records.append(tally(work, asked_for, translated, failed))
    return Result(records, summary={**summary, "passed_over": failed})


@handles("select")
async def select(work: Work) -> Result:
    """The chosen `response` records as they were, and a `selection` that counts what was chosen and what passed over."""
    stage: SelectStage = work.stage

    def read() -> selecting.Survey:
        bodies = ((name, body) for name in stage.responses for body in work.stream(name, "response"))
        return selecting.survey(stage, ((name, Response.model_validate(body)) for name, body in bodies))

    survey = await asyncio.to_thread(read)
    chosen: list[selecting.Candidate] = []
    for _, group in sorted(survey.groups.items()):
        candidates = selecting.ordered(group, stage)
        if stage.prefer == "diverse" and len(candidates) > stage.per_problem > 1:
            texts = [response.completion for response in await _responses(work, candidates)]
            candidates = [candidates[place] for place in selecting.diverse(texts, stage.per_problem)]
        chosen += candidates[: stage.per_problem]
        if beyond := len(group) - min(len(group), stage.per_problem):
            survey.passed_over["beyond per_problem"] += beyond
    records = []
    for name, response in zip(selecting.named(chosen), await _responses(work, chosen), strict=True):
        records.append(NewRecord("response", name, {**response.model_dump(mode="json"), "id": name}))
    report = SelectionReport(
        origin=work.origin(),
        considered=survey.considered,
        chosen=len(chosen),
        problems=len(survey.groups),
        chosen_from={name: sum(one.stage == name for one in chosen) for name in stage.responses},
        passed_over=dict(sorted(survey.passed_over.items())),
        ngrams={
            ngram: NgramCount(
                times=sum(one.found.get(ngram, 0) for one in chosen), responses=sum(ngram in one.found for one in chosen)
            )
            for ngram in stage.contains
        },
    )
    records.append(NewRecord("selection", "selection", report.model_dump(mode="json")))
    summary = {"considered": report.considered, "chosen": report.chosen, "passed_over": report.passed_over}
    return Result(records, summary=summary)


async def _responses(work: Work, candidates: Sequence[selecting.Candidate]) -> list[Response]:
    """The candidates' responses, in their order."""
    found = {}
    for stage in {one.stage for one in candidates}:
        ids = [one.id for one in candidates if one.stage == stage]
        for first in range(0, len(ids), PAGE):
            for body in await work.records_by_key(stage, "response", tuple(ids[first : first + PAGE])):
                found[stage, body["id"]] = Response.model_validate(body)
    return [found[one.stage, one.id] for one in candidates]


async def one_problem(work: Work) -> Problem:
    """The problem of an item that has a teacher. Raises Hopeless: the conductor cuts no other."""
    problems = await work.problems()
    if len(problems) != 1:
        raise Hopeless(f"{work.lease.item_id}: a {work.stage.kind} item holds one problem, this one {len(problems)}")
    return problems[0]


def tally(work: Work, samples: int, accepted: int, failed: Mapping[str, int] | None = None) -> NewRecord:
    """How many samples an item bought, and how many of them are of use: what an accepted sample costs is reckoned from these.

    `failed`: reason -> problems or responses of which nothing came.
    """
    body = {"samples": samples, "accepted": accepted}
    return NewRecord("tally", work.lease.key, {**body, "failed": dict(failed)} if failed else body)


def _tally_of(work: Work, asked: Asked) -> NewRecord:
    return tally(work, asked.retries + 1, int(asked.answer is not None), {asked.failed: 1} if asked.failed else {})


async def _teacher(work: Work) -> Teacher:
    work.works_in_rounds()  # an answer each: the same words asked again after a failure are another question
    return Teacher(await work.endpoint("teacher"), work.stage.sampling, await work.saved(), work.save)


def _counted(name: str, asked: Asked) -> dict[str, Any]:
    """An item's figures: its retries, and why it failed, if it did; what could not be graded is counted apart."""
    failed = {name: {asked.failed: 1}} if asked.failed else {}
    return {"retries": asked.retries, "ungraded": int(asked.failed == UNGRADED), **failed}
