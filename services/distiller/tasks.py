"""The distiller's work items: `import` and `curate` read what is there, `distill` samples a teacher; `rewriting` has the others."""

import asyncio
from collections import Counter

from services.distiller.contamination import Benchmarks
from services.distiller.curate import curate, pass_rates
from services.distiller.labelled_trees import tree_of
from services.distiller.rewriting import one_problem, tally
from services.distiller.sample import PROMPT, sample
from services.distiller.solutions import Unusable, chat_of, worked_solution
from shared import prompts
from shared.contracts.problem import Problem
from shared.contracts.report import CurationReport
from shared.contracts.stages import CurateStage, DistillStage, EvaluateStage, ImportStage
from shared.contracts.stages.data import Difficulty
from shared.contracts.thought import Example, Response
from shared.contracts.tree import ReasoningTree
from shared.ledger.items import NewRecord, Result
from shared.work.context import Work
from shared.work.registry import Hopeless, handles

PROGRESS_PROBLEMS = 1000
"""A curation tells how far it is each time it has looked at so many."""


@handles("import")
async def import_examples(work: Work) -> Result:
    """One `example` (or `tree`) record for each problem that holds one; the others are counted by reason in the summary.

    Raises Hopeless if no problem of the whole source holds one.
    """
    stage: ImportStage = work.stage
    kind = "tree" if stage.format == "trees" else "example"
    records = []
    passed_over: Counter[str] = Counter()
    problems = await work.problems()
    for problem in problems:
        try:
            found = await (_tree(work, problem) if kind == "tree" else _example(work, problem, stage.format))
        except Unusable as reason:
            passed_over[str(reason)] += 1
        else:
            records.append(NewRecord(kind, problem.id, found.model_dump(mode="json")))
    if not records and len(problems) == (await work.asked(stage.problems))[1]:  # a part of it may be barren
        reasons = "; ".join(f"{count}: {reason}" for reason, count in sorted(passed_over.items()))
        raise Hopeless(
            f"stages.{work.lease.stage}: none of the {len(problems)} problems of `{stage.problems}` holds what becomes "
            f"{'a tree' if kind == 'tree' else 'an example'}: {reasons}"
        )
    return Result(records, summary={f"{kind}s": len(records), "passed_over": dict(sorted(passed_over.items()))})


async def _tree(work: Work, problem: Problem) -> ReasoningTree:
    """A problem's labelled steps. Raises Unusable."""
    tree_id = f"{work.lease.run_id}/{work.lease.stage}/{problem.id}"
    return await tree_of(problem, tree_id, work.origin(model=problem.source or None))


async def _example(work: Work, problem: Problem, form: str) -> Example:
    """The sample that a problem holds. Raises Unusable."""
    if form == "messages":
        *chat, last = chat_of(problem)
        text = last.content
    else:
        chat, text = [], await worked_solution(problem)
    return Example(
        id=problem.id,
        problem_id=problem.id,
        question=problem.question,
        answer=problem.answer,
        origin=work.origin(),
        text=text,
        chat=tuple(chat),
    )


@handles("curate")
async def curate_problems(work: Work) -> Result:
    """A `problem` record for each that is kept, in their order, a `dropped` one for each other, and the `curation`."""
    stage: CurateStage = work.stage
    problems = await work.problems()
    benchmarks = Benchmarks(stage.decontaminate) if stage.decontaminate else None
    sizes = {}
    for name in stage.decontaminate.against if stage.decontaminate else ():
        source = work.recipe.problems[name].stored_as
        sizes[name] = await asyncio.to_thread(benchmarks.add, source, await work.source(name)) if benchmarks else 0
    rates = await asyncio.to_thread(_pass_rates, work, stage.difficulty) if stage.difficulty else None
    loop = asyncio.get_running_loop()

    def progress(done: int) -> None:
        if done % PROGRESS_PROBLEMS == 0:
            asyncio.run_coroutine_threadsafe(work.progress({"done": done, "total": len(problems)}), loop).result()

    found = await asyncio.to_thread(curate, problems, stage, benchmarks, rates, progress)
    report = CurationReport(
        origin=work.origin(),
        source=(await work.asked(stage.problems))[0],
        total=len(problems),
        kept=len(found.kept),
        dropped=found.counts(),
        examples=found.examples(),
        benchmarks=sizes,
    )
    records = [
        *(NewRecord("problem", f"{place:08}", problem.model_dump(mode="json")) for place, problem in found.kept.items()),
        *(NewRecord("dropped", f"{place:08}", fallen.model_dump(mode="json")) for place, fallen in found.dropped.items()),
        NewRecord("curation", "curation", report.model_dump(mode="json")),
    ]
    return Result(records, summary={"kept": report.kept, "total": report.total})


def _pass_rates(work: Work, band: Difficulty) -> dict[str, float]:
    measured: EvaluateStage = work.recipe.stages[band.measured]  # type: ignore[assignment]
    samples = (Response.model_validate(body) for body in work.stream(band.measured, "sample"))
    return pass_rates(samples, band.model or measured.models[0])


@handles("distill")
async def distill(work: Work) -> Result:
    """One `response` record for each sample of one problem, verified or not, and their `tally`."""
    stage: DistillStage = work.stage
    problem = await one_problem(work)
    work.works_in_rounds()
    bought = [Response.model_validate(body) for round_ in await work.saved() for body in round_["responses"]]
    teacher = await work.endpoint("teacher")
    origin = work.origin(model=teacher.uri, prompt=prompts.version(PROMPT))
    responses = await sample(problem, stage, teacher, origin, bought, work.save)
    summary = {
        "samples": len(responses),
        "verified": sum(response.verified for response in responses),
        "truncated": sum(response.finish_reason != "stop" for response in responses),
        "ungraded": sum(response.grading_error is not None for response in responses),
    }
    records = [NewRecord("response", response.id, response.model_dump(mode="json")) for response in responses]
    records.append(tally(work, len(responses), summary["verified"]))
    return Result(records, summary=summary)
