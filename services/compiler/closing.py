"""The compile stage's closing item: all its records into one dataset with its card, streamed: nothing grows with their number."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from services.compiler.card import CardFacts, Cost, card
from services.compiler.export import Row, export
from services.compiler.responses import samples
from shared.artifacts import all_or_nothing, upload_folder
from shared.contracts.report import CurationReport, DatasetReport
from shared.contracts.stages import CompileStage
from shared.contracts.thought import Example, LongThought, PreferencePair, Response, Role, Shortcut, StepLabels, Walked
from shared.ledger.items import NewRecord, Result
from shared.statistics import Statistics
from shared.work.context import Work

KINDS: dict[str, tuple[str, type[Row]]] = {
    "journey": ("thought", LongThought),
    "shortcut": ("shortcut", Shortcut),
    "preference": ("pair", PreferencePair),
    "prm": ("steps", StepLabels),
}
"""Configuration of the dataset -> kind of its records, and what they are."""
GIVEN: dict[str, type[Response] | type[Example]] = {"response": Response, "example": Example}
"""Kinds of the records of other stages that become the configuration `sft`."""
TALLIES = ("sources", "prompts", "skipped", "notes", "refinement")
"""What the items counted, each a figure by name."""


async def close(work: Work) -> Result:
    """The `dataset` record; the folder lies where it says. A dataset without a thought is a folder with a card that says why."""
    report = await asyncio.to_thread(_export, work)
    summary = {"counts": report.counts, "skipped": report.skipped}
    return Result([NewRecord("dataset", "dataset", report.model_dump(mode="json"))], summary=summary)


def _export(work: Work) -> DatasetReport:
    sums = {name: Counter[str]() for name in TALLIES}
    for tally in work.stream(work.lease.stage, "tally"):
        for name, counts in sums.items():
            counts.update(tally.get(name, {}))
    with (
        all_or_nothing(work.folder, Path(tempfile.gettempdir())),
        tempfile.TemporaryDirectory(prefix="longthought-export-") as temporary,
    ):
        folder = Path(temporary)
        passed = {config: Passing() for config in configurations(work.stage)}
        splits = {}
        for config, passing in passed.items():
            splits[config] = export(folder, config, passing.through(_rows(work, config, sums["skipped"])))
        report = DatasetReport(
            origin=work.origin(),
            uri=work.folder,
            counts={config: sum(rows.values()) for config, rows in splits.items()},
            skipped=dict(sorted(sums["skipped"].items())),
            refinement=dict(sorted(sums["refinement"].items())),
            statistics={config: passing.statistics.figures() for config, passing in passed.items()},
        )
        journey = passed.get("journey", Passing())
        facts = CardFacts(
            report=report,
            splits=splits,
            turns=journey.statistics.turns,
            notes=sums["notes"],
            sources=sums["sources"],
            publishers=_publishers(work),
            prompts=sums["prompts"].keys() | set().union(*(passing.prompts for passing in passed.values())),
            costs=_costs(work),
            curations=_curations(work),
            example=journey.example,
        )
        (folder / "README.md").write_text(card(work.recipe, work.lease.stage, facts), encoding="utf-8")
        upload_folder(folder, work.folder)
    return report


def _publishers(work: Work) -> Counter[str]:
    """How many problems of each publisher the data rests on."""
    recipe = work.recipe
    stages = [recipe.stages[name] for name in recipe.behind(work.lease.stage)]
    named = {source for stage in stages for field, source in stage.sources() if field == "problems" and source in recipe.problems}
    return Counter(body.get("source", "") for name in sorted(named) for body in work.stream_source(name))


def _curations(work: Work) -> dict[str, CurationReport]:
    """The reports of the curations that the data rests on."""
    stages = [name for name in work.recipe.behind(work.lease.stage) if work.recipe.stages[name].kind == "curate"]
    return {name: CurationReport.model_validate(body) for name in stages for body in work.stream(name, "curation")}


def _costs(work: Work) -> list[Cost]:
    """What the stages behind the data, and this one, took of each model."""
    names = [*work.recipe.behind(work.lease.stage), work.lease.stage]
    rows = sorted(work.usage(), key=lambda row: (row.stage, row.model, row.role))
    return [
        Cost(row.stage, row.model, row.requests, row.prompt_tokens, row.completion_tokens, row.cost)
        for row in rows
        if row.stage in names
    ]


def configurations(stage: CompileStage) -> tuple[str, ...]:
    """What a dataset of this stage has."""
    trees = ("journey", "shortcut") if stage.trees else ()
    pairs = ("preference",) if stage.trees or stage.response_pairs else ()
    return (*trees, *pairs, *(("prm",) if stage.step_labels != "none" else ()), *(("sft",) if stage.data else ()))


def _rows(work: Work, config: str, skipped: Counter[str]) -> Iterator[Row]:
    """A configuration's records, in order of their ids."""
    if config != "sft":
        kind, model = KINDS[config]
        yield from (model.model_validate(body) for body in work.stream(work.lease.stage, kind))
        return
    stage: CompileStage = work.stage
    for giver in sorted(stage.data, key=lambda name: f"{name}/"):  # as the ids begin
        for kind, given in GIVEN.items():  # a stage gives records of one of these kinds
            found = (given.model_validate(body) for body in work.stream(giver, kind))
            yield from samples(stage, giver, found, skipped)


class Passing:
    """What is learned of records as they pass by on their way into files."""

    def __init__(self) -> None:
        self.statistics = Statistics()
        self.example: LongThought | None = None
        """The thought with the most wrong turns, the first of them."""
        self.prompts: set[str] = set()
        """Names and versions of the prompts they were made with."""

    def through(self, records: Iterator[Row]) -> Iterator[Row]:
        """The same records."""
        for record in records:
            if isinstance(record, PreferencePair):
                self.statistics.add(record.prefix + record.chosen)
            elif isinstance(record, StepLabels):
                self.statistics.add("\n".join(record.steps))
            else:
                self.statistics.add(record.completion, record.spans if isinstance(record, Walked) else ())
            self.prompts.update((record.origin.prompt or "").split())
            if isinstance(record, LongThought) and record.refiner_prompt:
                self.prompts.update(record.refiner_prompt.split())
            if isinstance(record, LongThought) and (self.example is None or _turns(record) > _turns(self.example)):
                self.example = record
            yield record


def _turns(thought: LongThought) -> int:
    return thought.count(Role.BACKTRACK)
