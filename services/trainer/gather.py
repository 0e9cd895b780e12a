"""From the ledger's records to training samples: which records a configuration means, and equal counts for a fair comparison."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from services.trainer.job import Sample
from shared.contracts.stages import TrainStage
from shared.contracts.thought import Example, LongThought, Response, Shortcut, Trainable
from shared.prompts import render
from shared.work.context import Work
from shared.work.registry import Hopeless

KINDS: dict[str, dict[str, type[Trainable]]] = {
    "sft": {"example": Example, "response": Response},
    "journey": {"thought": LongThought},
    "shortcut": {"shortcut": Shortcut},
}
"""Configuration -> kinds of records that it trains on."""
PARTNER = {"journey": "shortcut", "shortcut": "journey"}


async def gather(work: Work) -> list[Sample]:
    """The samples of a train stage, the same on every attempt. Raises Hopeless, naming what is missing, if there are none."""
    stage: TrainStage = work.stage
    found = {kind: await _usable(work, kind, model) for kind, model in KINDS[stage.config].items()}
    mine = [record for records in found.values() for record in records]
    partner = PARTNER.get(stage.config) if stage.match_counts else None
    other: list[Trainable] = []
    if partner:
        for kind, model in KINDS[partner].items():
            other += await _usable(work, kind, model)
        mine = matched(mine, other)
    chosen = limited(mine, stage.max_samples, work.recipe.seed)
    if not chosen:
        counts = ", ".join(f"{len(records)} usable `{kind}` records" for kind, records in found.items())
        if partner:
            counts += f" and {len(other)} usable {partner} records, with no problem in common (match_counts)"
        raise Hopeless(
            f"stages.{work.lease.stage}: nothing to train on: stage `{stage.data}` published {counts} of split `train`. "
            f"Its report says why sources were passed over; {_remedy(stage.config)}"
        )
    return [
        Sample(
            id=record.id,
            problem_id=record.problem_id,
            prompt=render("solve", question=record.question),
            completion=record.completion,
        )
        for record in chosen
    ]


async def _usable(work: Work, kind: str, model: type[Trainable]) -> list[Trainable]:
    bodies: list[dict[str, Any]] = await work.records(work.stage.data, kind)
    records = [model.model_validate(body) for body in bodies]
    return [record for record in records if record.split == "train" and record.completion and _verified(record)]


def _verified(record: Trainable) -> bool:
    """A teacher's response is trained on only if its answer was verified; walks end in a verified leaf by their making."""
    return not isinstance(record, Response) or record.verified


def _by_problem(records: Iterable[Trainable]) -> dict[str, list[Trainable]]:
    grouped: dict[str, list[Trainable]] = defaultdict(list)
    for record in records:
        grouped[record.problem_id].append(record)
    return {problem: sorted(grouped[problem], key=lambda record: record.id) for problem in sorted(grouped)}


def matched(mine: Iterable[Trainable], other: Iterable[Trainable]) -> list[Trainable]:
    """Of `mine`, for each problem that `other` has too, as many as both have: called either way round, it gives equal counts."""
    theirs = _by_problem(other)
    pairs = ((records, theirs.get(problem, [])) for problem, records in _by_problem(mine).items())
    return [record for records, partners in pairs for record in records[: min(len(records), len(partners))]]


def limited(records: Sequence[Trainable], most: int | None, seed: int) -> list[Trainable]:
    """At most `most` records, sorted by problem. Which ones depends on problems and seed alone: two arms keep the same."""
    grouped = _by_problem(records)
    ordered = [record for problem in grouped for record in grouped[problem]]
    if most is None or len(ordered) <= most:
        return ordered
    # a full round of one record a problem before any problem gives its second
    shuffled = random.Random(seed).sample(list(grouped), len(grouped))
    rounds = max(len(group) for group in grouped.values())
    kept = [grouped[problem][n] for n in range(rounds) for problem in shuffled if n < len(grouped[problem])][:most]
    return sorted(kept, key=lambda record: (record.problem_id, record.id))


def _remedy(config: str) -> str:
    if config == "sft":
        return "import problems that have worked solutions, or sample more of the teacher's answers."
    return "search more problems, wider or deeper, or with a policy that solves more of them."
