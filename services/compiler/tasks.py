"""The compiler's work items: trees into records, at most 200 at a time, and one closing item that exports them all."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from services.compiler.closing import close
from services.compiler.compile import Compiled, Draft, compile_trees, thought_of
from services.compiler.refine import refine
from services.compiler.responses import response_pairs
from shared.answers.extract import final_answer
from shared.answers.verify import verify
from shared.contracts.stages import CompileStage
from shared.contracts.thought import LongThought, Response
from shared.contracts.tree import ReasoningTree
from shared.ledger.items import NewRecord, Result
from shared.work.context import Work
from shared.work.registry import handles

AT_ONCE = 32
"""Drafts of one item that are with the refiner's model at once."""


@handles("compile")
async def compile_item(work: Work) -> Result:
    """Records `thought`, `shortcut`, `pair` and `steps` of some trees, `pair` of some responses, and a `tally` of each item.

    Of the closing item, the `dataset`.
    """
    if work.payload.close:
        return await close(work)
    return await (_compile(work) if work.payload.stage is None else _pair(work))


async def _pair(work: Work) -> Result:
    """Pairs of responses."""
    assert work.payload.stage is not None
    skipped: Counter[str] = Counter()
    bodies = await work.records_by_key(work.payload.stage, "response", work.payload.keys)
    responses = [Response.model_validate(body) for body in bodies]
    pairs = list(response_pairs(work.stage, work.payload.stage, responses, work.recipe.seed, work.origin(), skipped))
    records = [NewRecord("pair", pair.id, pair.model_dump(mode="json")) for pair in pairs]
    records.append(NewRecord("tally", work.lease.key, {"skipped": skipped}))
    return Result(records, summary={"pairs": len(pairs), "skipped": skipped.total()})


async def _compile(work: Work) -> Result:
    stage: CompileStage = work.stage
    assert stage.trees is not None
    bodies = await work.records_by_key(stage.trees, "tree", work.payload.keys)
    compiled = await asyncio.to_thread(_compile_bodies, work, bodies)
    thoughts, refinement = await _refine_all(work, compiled)
    records = [
        *(NewRecord("thought", thought.id, thought.model_dump(mode="json")) for thought in thoughts),
        *(NewRecord("shortcut", shortcut.id, shortcut.model_dump(mode="json")) for shortcut in compiled.shortcuts),
        *(NewRecord("pair", pair.id, pair.model_dump(mode="json")) for pair in compiled.pairs),
        *(NewRecord("steps", one.id, one.model_dump(mode="json")) for one in compiled.labels),
    ]
    prompts = Counter(name for body in bodies for name in (body["origin"]["prompt"] or "").split())
    tally = {
        "sources": _sources(bodies),
        "prompts": prompts,
        "skipped": compiled.skipped,
        "notes": compiled.notes,
        "refinement": refinement,
    }
    records.append(NewRecord("tally", work.lease.key, tally))
    return Result(records, summary={"thoughts": len(thoughts), "trees": len(bodies), "skipped": compiled.skipped.total()})


def _compile_bodies(work: Work, bodies: Sequence[dict[str, Any]]) -> Compiled:
    trees = [ReasoningTree.model_validate(body) for body in bodies]
    return compile_trees(trees, work.stage, work.recipe.seed, work.origin())


def _sources(bodies: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Model and prompt that grew the trees, as `MODEL (solve@1)` -> trees; of imported ones, whose labels they are."""
    origins = [body["origin"] for body in bodies]
    return Counter(f"{origin['model']} ({origin['prompt'] or 'imported labels'})" for origin in origins)


async def _refine_all(work: Work, compiled: Compiled) -> tuple[list[LongThought], Counter[str]]:
    """The thoughts of all drafts, and how they were refined. What a model rewrote is saved: a retry asks for the rest."""
    stage: CompileStage = work.stage
    endpoint = await work.endpoint("refiner") if stage.refiner.kind == "llm" else None
    saved = {body["seq"]: body for body in await work.saved()} if endpoint else {}
    slots = asyncio.Semaphore(AT_ONCE)

    async def thought(seq: int, draft: Draft) -> dict[str, Any]:
        if seq in saved:
            return saved[seq]
        async with slots:
            refined = await refine(draft.tree.problem, draft.pieces, stage.refiner, endpoint, draft.words)
        origin = work.origin(refined.model, refined.prompt)
        made = thought_of(draft, refined, stage, origin)
        counts = {"retries": refined.retries, "reflections completed": refined.reflections}
        counts |= {f"found: {finding}": count for finding, count in refined.findings.items()}
        body = {"seq": seq, "thought": made.model_dump(mode="json"), "counts": counts}
        if endpoint:
            await work.save(seq, body)
        return body

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(thought(seq, draft)) for seq, draft in enumerate(compiled.drafts)]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None  # as itself: whoever runs items tells an engine's death from a failure
    thoughts, refinement = [], Counter[str]()
    for body in (task.result() for task in tasks):
        made = LongThought.model_validate(body["thought"])
        stated = final_answer(made.completion)
        if stated is None or not await verify(made.answer, stated):
            compiled.skipped["the thought's text states another final answer than its leaf"] += 1
            continue
        thoughts.append(made)
        refinement[made.refiner] += 1
        refinement.update(body["counts"])
    return thoughts, +refinement
