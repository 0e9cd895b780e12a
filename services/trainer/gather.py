"""From the ledger's records to training samples: which records a configuration means, and equal counts for a fair comparison."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, TypeVar, cast

from services.trainer.job import Pair, Row, Sample, Steps
from shared.contracts.base import Record
from shared.contracts.recipe import ARMS
from shared.contracts.stages import TrainStage
from shared.contracts.thought import Example, LongThought, PreferencePair, Response, Role, Shortcut, StepLabels, Trainable
from shared.prompts import render
from shared.work.context import Work
from shared.work.registry import Hopeless

KINDS: dict[str, dict[str, type[Record]]] = {
    "sft": {"example": Example, "response": Response},
    "journey": {"thought": LongThought},
    "shortcut": {"shortcut": Shortcut},
    "preference": {"pair": PreferencePair},
    "prm": {"steps": StepLabels},
}
"""Configuration -> kinds of records that it trains on."""
REMEDY = "search more problems, wider or deeper, or with a policy that solves more of them."
REMEDIES = {
    "sft": "import problems that have worked solutions, or sample more of the teacher's answers.",
    "prm": "search with a reward that judges steps, or label by `values`.",
}
"""Configuration -> what to do where there is nothing of it."""


Trained = Trainable | PreferencePair | StepLabels
T = TypeVar("T", bound=Trained)


async def gather(work: Work, stage: TrainStage) -> list[Row]:
    """The rows of a training, the same on every attempt. Raises Hopeless, naming what is missing, if there are none."""
    found = {kind: await _usable(work, stage.data, kind, model) for kind, model in KINDS[stage.config].items()}
    mine = [record for records in found.values() for record in records]
    partner = ARMS.get(stage.config) if stage.match_counts else None
    other: list[Trained] = []
    beside: dict[str, Trained] = {}
    if partner:
        for kind, model in KINDS[partner].items():
            other += await _usable(work, stage.data, kind, model)
        beside = matched(mine, other)
        mine = [record for record in mine if record.id in beside]
        beside = beside if any(work.recipe.other_arm(stage)) else {}
    chosen = limited(mine, stage.max_samples, work.recipe.seed)
    if not chosen:
        counts = ", ".join(f"{len(records)} usable `{kind}` records" for kind, records in found.items())
        if partner:
            counts += f" and {len(other)} usable {partner} records, with no problem in common (match_counts)"
        raise Hopeless(
            f"stages.{work.lease.stage}: nothing to train on: stage `{stage.data}` published {counts} of split `train`. "
            f"Its report says why sources were passed over; {REMEDIES.get(stage.config, REMEDY)}"
        )
    return [_row(record, stage, beside.get(record.id)) for record in chosen]


def _row(record: Trained, stage: TrainStage, beside: Trained | None) -> Row:
    named = {"id": record.id, "problem_id": record.problem_id}
    if isinstance(record, StepLabels):
        return Steps(**named, question=record.question.strip(), steps=record.steps, labels=record.labels)
    prompt = render("solve", question=record.question)
    if isinstance(record, PreferencePair):
        sides = record.model_dump(include={"prefix", "chosen", "rejected"})
        return Pair(**named, prompt=prompt, **sides, whole=record.tree_id is None)
    chat = record.chat if isinstance(record, Example) else ()
    other = beside.completion if isinstance(beside, Trainable) else ""
    wrong = () if stage.learn_wrong_steps or not isinstance(record, LongThought) else _parts(record, Role.WRONG_STEP)
    learned = {"completion": record.completion, "answer": record.answer, "unlearned": wrong, "beside": other}
    return Sample(**named, prompt=prompt, chat=chat, **learned)


def _parts(thought: LongThought, role: Role) -> tuple[tuple[int, int], ...]:
    """Where the spans of a role stand in the thought's completion, in characters."""
    whole = "".join(span.text for span in thought.spans)
    start = len(whole.lstrip()) - len(whole)  # the completion is the whole, stripped
    starts = accumulate((len(span.text) for span in thought.spans), initial=start)
    spans = [(begin, span) for begin, span in zip(starts, thought.spans, strict=False) if span.role is role]
    # white space around a span goes with its neighbour's word in many tokenizers: " Wait" is one token
    return tuple((begin + len(span.text) - len(span.text.lstrip()), begin + len(span.text.rstrip())) for begin, span in spans)


async def _usable(work: Work, data: str, kind: str, model: type[Record]) -> list[Trained]:
    bodies: list[dict[str, Any]] = await work.records(data, kind)
    records = [cast(Trained, model.model_validate(body)) for body in bodies]
    return [record for record in records if record.split == "train" and _teaches(record)]


def _teaches(record: Trained) -> bool:
    """A text that is empty teaches nothing; a teacher's response is trained on only if its answer was verified (walks end in a
    verified leaf by their making).
    """
    if isinstance(record, PreferencePair):
        return bool(record.chosen.strip() and record.rejected.strip())
    if isinstance(record, StepLabels):
        return all(step.strip() for step in record.steps)
    return bool(record.completion) and (not isinstance(record, Response) or record.verified)


def _by_problem(records: Iterable[T]) -> dict[str, list[T]]:
    grouped: dict[str, list[T]] = defaultdict(list)
    for record in records:
        grouped[record.problem_id].append(record)
    return {problem: sorted(grouped[problem], key=lambda record: record.id) for problem in sorted(grouped)}


def matched(mine: Iterable[Trained], other: Iterable[Trained]) -> dict[str, Trained]:
    """Ids of `mine` -> records of `other`: of each problem as many as both have, so either way round it gives the same pairs."""
    theirs = _by_problem(other)
    pairs = ((records, theirs.get(problem, [])) for problem, records in _by_problem(mine).items())
    return {record.id: partner for records, partners in pairs for record, partner in zip(records, partners, strict=False)}


def limited(records: Sequence[T], most: int | None, seed: int) -> list[T]:
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
