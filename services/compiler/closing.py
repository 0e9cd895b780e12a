"""The compile stage's closing item: all its records into one dataset with its card, streamed: nothing grows with their number."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from services.compiler.card import CardFacts, card
from services.compiler.export import Row, export, model_of
from shared.artifacts import upload_folder
from shared.contracts.report import DatasetReport
from shared.contracts.thought import LongThought, PreferencePair, Role
from shared.ledger.items import NewRecord, Result
from shared.statistics import Statistics
from shared.work.context import Work

KINDS = {"journey": "thought", "shortcut": "shortcut", "preference": "pair"}
"""Configuration of the dataset -> kind of its records."""
TALLIES = ("sources", "skipped", "notes", "refinement")
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
            counts.update(tally[name])
    with tempfile.TemporaryDirectory(prefix="longthought-export-") as temporary:
        folder = Path(temporary)
        passed = {config: Passing() for config in KINDS}
        splits = {config: export(folder, config, passing.through(_rows(work, config))) for config, passing in passed.items()}
        report = DatasetReport(
            origin=work.origin(),
            uri=work.folder,
            counts={config: sum(rows.values()) for config, rows in splits.items()},
            skipped=dict(sorted(sums["skipped"].items())),
            refinement=dict(sorted(sums["refinement"].items())),
            statistics={config: passing.statistics.figures() for config, passing in passed.items()},
        )
        journey = passed["journey"]
        facts = CardFacts(report, splits, journey.statistics.turns, sums["notes"], sums["sources"], journey.example)
        (folder / "README.md").write_text(card(work.recipe, work.lease.stage, facts), encoding="utf-8")
        upload_folder(folder, work.folder)
    return report


def _rows(work: Work, config: str) -> Iterator[Row]:
    """A configuration's records, in order of their ids."""
    return (model_of(config, body) for body in work.stream(work.lease.stage, KINDS[config]))


class Passing:
    """What is learned of records as they pass by on their way into files."""

    def __init__(self) -> None:
        self.statistics = Statistics()
        self.example: LongThought | None = None
        """The thought with the most wrong turns, the first of them."""

    def through(self, records: Iterator[Row]) -> Iterator[Row]:
        """The same records."""
        for record in records:
            if isinstance(record, PreferencePair):
                self.statistics.add(record.prefix + record.chosen)
            else:
                self.statistics.add(record.completion, record.spans)
            if isinstance(record, LongThought) and (self.example is None or _turns(record) > _turns(self.example)):
                self.example = record
            yield record


def _turns(thought: LongThought) -> int:
    return thought.count(Role.BACKTRACK)
