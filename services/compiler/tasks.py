"""The compiler's work items: trees into records, at most 200 at a time, and one closing item that exports them all."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.compiler.card import CardFacts, card
from services.compiler.compile import Compiled, Draft, compile_trees, thought_of
from services.compiler.export import export, models_of
from services.compiler.refine import refine
from services.compiler.statistics import Statistics
from shared.answers.extract import final_answer
from shared.answers.verify import verify
from shared.artifacts import upload_folder
from shared.contracts.report import DatasetReport
from shared.contracts.stages import CompileStage
from shared.contracts.thought import LongThought, PreferencePair, Role, Walked
from shared.contracts.tree import ReasoningTree
from shared.ledger.items import NewRecord, Result
from shared.work.context import Work
from shared.work.registry import handles

KINDS = {"journey": "thought", "shortcut": "shortcut", "preference": "pair"}
"""Configuration of the dataset -> kind of its records."""
AT_ONCE = 32
"""Drafts of one item that are with the refiner's model at once."""


@handles("compile")
async def compile_item(work: Work) -> Result:
    """Records `thought`, `shortcut` and `pair` of some trees, and one `tally`; of the closing item, the `dataset`."""
    return await (_close(work) if work.payload.close else _compile(work))


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
    ]
    tally = {"sources": _sources(bodies), "skipped": compiled.skipped, "notes": compiled.notes, "refinement": refinement}
    records.append(NewRecord("tally", work.lease.key, tally))
    return Result(records, summary={"thoughts": len(thoughts), "trees": len(bodies), "skipped": compiled.skipped.total()})


def _compile_bodies(work: Work, bodies: Sequence[dict[str, Any]]) -> Compiled:
    trees = [ReasoningTree.model_validate(body) for body in bodies]
    return compile_trees(trees, work.stage, work.recipe.seed, work.origin())


def _sources(bodies: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Model and prompt that grew the trees, as `MODEL (solve@1)` -> trees."""
    return Counter(f"{body['origin']['model']} ({body['origin']['prompt']})" for body in bodies)


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
        body = {"seq": seq, "thought": made.model_dump(mode="json"), "retries": refined.retries}
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
        refinement["retries"] += body["retries"]
    return thoughts, +refinement


async def _close(work: Work) -> Result:
    name = work.lease.stage
    bodies = {config: await work.records(name, kind) for config, kind in KINDS.items()}
    tallies = await work.records(name, "tally")
    report = await asyncio.to_thread(_export, work, bodies, tallies)
    summary = {"counts": report.counts, "skipped": report.skipped}
    return Result([NewRecord("dataset", "dataset", report.model_dump(mode="json"))], summary=summary)


def _export(work: Work, bodies: dict[str, list[dict[str, Any]]], tallies: Sequence[dict[str, Any]]) -> DatasetReport:
    """Writes the folder and uploads it; a dataset without a thought is a folder with a card that says why."""
    sums = {name: Counter[str]() for name in ("sources", "skipped", "notes", "refinement")}
    for tally in tallies:
        for name, counts in sums.items():
            counts.update(tally[name])
    statistics = {config: Statistics() for config in KINDS}
    splits = {}
    with tempfile.TemporaryDirectory(prefix="longthought-export-") as temporary:
        folder = Path(temporary)
        example = None
        for config in KINDS:
            records = list(models_of(config, bodies[config]))
            for record in records:
                _count(statistics[config], record)
                if isinstance(record, LongThought) and (example is None or _turns(record) > _turns(example)):
                    example = record
            splits[config] = export(folder, config, records)
        report = DatasetReport(
            origin=work.origin(),
            uri=work.folder,
            counts={config: sum(rows.values()) for config, rows in splits.items()},
            skipped=dict(sorted(sums["skipped"].items())),
            refinement=dict(sorted(sums["refinement"].items())),
            statistics={config: figures.figures() for config, figures in statistics.items()},
        )
        facts = CardFacts(report, splits, statistics["journey"].turns, sums["notes"], sums["sources"], example)
        (folder / "README.md").write_text(card(work.recipe, work.lease.stage, facts), encoding="utf-8")
        upload_folder(folder, work.folder)
    return report


def _count(statistics: Statistics, record: Walked | PreferencePair) -> None:
    if isinstance(record, PreferencePair):
        statistics.add(record.prefix + record.chosen)
    else:
        statistics.add(record.completion, record.spans)


def _turns(thought: LongThought) -> int:
    return thought.count(Role.BACKTRACK)
