"""Records into files: `<config>/<split>.parquet` and `.jsonl`, as `datasets.load_dataset(folder, config)` opens them.

The same records give the same bytes. Rows are written as they come, in batches: a dataset need not fit into memory.
"""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from shared.contracts.thought import Example, LongThought, PreferencePair, Response, Shortcut, StepLabels
from shared.prompts import render

Row = LongThought | Shortcut | PreferencePair | StepLabels | Response | Example
BATCH = 1000
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_WALKED = [
    ("id", pa.string()),
    ("problem_id", pa.string()),
    ("tree_id", pa.string()),
    ("question", pa.string()),
    ("answer", pa.string()),
    ("messages", _MESSAGES),
    ("spans", pa.list_(pa.struct([("text", pa.string()), ("role", pa.string()), ("node_id", pa.int64())]))),
    ("leaf_id", pa.int64()),
    ("run_id", pa.string()),
    ("stage", pa.string()),
]
SCHEMAS = {
    "journey": pa.schema([*_WALKED, ("refiner", pa.string()), ("refiner_prompt", pa.string()), ("refiner_model", pa.string())]),
    "shortcut": pa.schema(_WALKED),
    "preference": pa.schema(
        [
            ("id", pa.string()),
            ("problem_id", pa.string()),
            ("tree_id", pa.string()),
            ("question", pa.string()),
            ("prompt", _MESSAGES),
            ("chosen", _MESSAGES),
            ("rejected", _MESSAGES),
            ("prefix", pa.string()),
            ("chosen_node", pa.int64()),
            ("rejected_node", pa.int64()),
            ("run_id", pa.string()),
            ("stage", pa.string()),
        ]
    ),
    "prm": pa.schema(
        [
            ("id", pa.string()),
            ("problem_id", pa.string()),
            ("tree_id", pa.string()),
            ("question", pa.string()),
            ("prompt", pa.string()),
            ("completions", pa.list_(pa.string())),
            ("labels", pa.list_(pa.bool_())),
            ("node_ids", pa.list_(pa.int64())),
            ("how", pa.string()),
            ("run_id", pa.string()),
            ("stage", pa.string()),
        ]
    ),
    "sft": pa.schema(
        [
            ("id", pa.string()),
            ("problem_id", pa.string()),
            ("question", pa.string()),
            ("answer", pa.string()),
            ("messages", _MESSAGES),
            ("model", pa.string()),
            ("model_prompt", pa.string()),
            ("run_id", pa.string()),
            ("stage", pa.string()),
        ]
    ),
}
"""Columns of each configuration."""


def export(folder: Path, config: str, records: Iterable[Row]) -> dict[str, int]:
    """Writes one configuration's splits under `folder`; returns split -> rows, and no split without rows.

    `records` come sorted by id (ValueError if not, or if two share an id).
    """
    counts: dict[str, int] = {}
    writers: dict[str, _SplitWriter] = {}
    last = ""
    with ExitStack() as stack:
        for record in records:
            if record.id <= last:
                raise ValueError(f"{config}: record {record.id!r} comes after {last!r}: ids must be distinct and sorted")
            last = record.id
            if record.split not in writers:
                writers[record.split] = _SplitWriter(folder / config, record.split, SCHEMAS[config], stack)
            writers[record.split].add(row_of(record))
            counts[record.split] = counts.get(record.split, 0) + 1
        for writer in writers.values():
            writer.flush()
    return dict(sorted(counts.items()))


def row_of(record: Row) -> dict[str, Any]:
    """A record as its configuration's row. `messages` is the chat to train on, its user's turn the `solve` prompt."""
    instruction = render("solve", question=record.question)
    row: dict[str, Any] = {"id": record.id, "problem_id": record.problem_id, "question": record.question}
    row |= {"run_id": record.origin.run_id, "stage": record.origin.stage}
    if isinstance(record, PreferencePair):
        # The steps that both sides share stand in both completions: in DPO's difference they cancel.
        sides = {"chosen": record.chosen, "rejected": record.rejected}
        row |= {"tree_id": record.tree_id, "prompt": [{"role": "user", "content": instruction}], "prefix": record.prefix}
        row |= {"chosen_node": record.chosen_node, "rejected_node": record.rejected_node}
        return row | {side: [{"role": "assistant", "content": record.prefix + step}] for side, step in sides.items()}
    if isinstance(record, StepLabels):  # TRL's layout for stepwise supervision
        row |= {"tree_id": record.tree_id, "prompt": record.question, "completions": record.steps, "labels": record.labels}
        return row | {"node_ids": record.node_ids, "how": record.how}
    row |= {"answer": record.answer, "messages": [message.model_dump() for message in record.messages(instruction)]}
    if isinstance(record, Response | Example):
        return row | {"model": record.origin.model, "model_prompt": record.origin.prompt}
    row |= {
        "tree_id": record.tree_id,
        "spans": [{"text": span.text, "role": span.role.value, "node_id": span.node_id} for span in record.spans],
        "leaf_id": record.leaf_id,
    }
    if isinstance(record, LongThought):
        row |= {"refiner": record.refiner, "refiner_prompt": record.refiner_prompt, "refiner_model": record.refiner_model}
    return row


class _SplitWriter:
    """The two files of one split."""

    def __init__(self, folder: Path, split: str, schema: pa.Schema, stack: ExitStack) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._schema = schema
        self._parquet = stack.enter_context(pq.ParquetWriter(folder / f"{split}.parquet", schema))
        self._lines: TextIO = stack.enter_context((folder / f"{split}.jsonl").open("w", encoding="utf-8", newline="\n"))
        self._rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> None:
        ordered = {name: row[name] for name in self._schema.names}
        self._lines.write(json.dumps(ordered, ensure_ascii=False) + "\n")
        self._rows.append(ordered)
        if len(self._rows) == BATCH:
            self.flush()

    def flush(self) -> None:
        """Writes the rows at hand as one row group."""
        if self._rows:
            self._parquet.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []
