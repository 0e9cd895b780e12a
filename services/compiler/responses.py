"""Teachers' responses and imported examples as data: samples to learn (`sft`), and pairs of a right and a wrong response (DPO).

The reports draw 5 right and 5 wrong of 20 responses at random and pair them into 5 pairs (Part 1, Q8).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import lcm
from random import Random

from services.compiler.compile import split_of
from shared.contracts.base import Origin
from shared.contracts.stages import CompileStage
from shared.contracts.stages.compile import ResponsePairs
from shared.contracts.thought import Example, PreferencePair, Response, Trainable


def samples(
    stage: CompileStage, giver: str, records: Iterable[Response | Example], skipped: Counter[str]
) -> Iterator[Response | Example]:
    """Those of a stage's records that can be learned, under ids of their own and in their question's split; others are counted."""
    for record in records:
        if reason := unfit(record):
            skipped[reason] += 1
        else:
            split = split_of(record.question, stage.test_share)
            yield record.model_copy(update={"id": f"{giver}/{record.id}", "split": split})


def unfit(record: Trainable) -> str | None:
    """Why a record is not learned from; None if it is."""
    if not record.completion:
        return "sft: an empty text"
    if not isinstance(record, Response) or record.verified:
        return None
    if record.finish_reason != "stop":
        return "sft: a response that was cut"
    return "sft: a response that could not be graded" if record.grading_error else "sft: a response that did not verify"


def response_pairs(
    stage: CompileStage, giver: str, responses: Iterable[Response], seed: int, origin: Origin, skipped: Counter[str]
) -> Iterator[PreferencePair]:
    """Pairs of whole responses to one question. `seed` is the recipe's; questions with too few of either kind are counted.

    Wrong is what states an answer that is wrong: of one that was cut, states none or could not be graded, nothing is known.
    """
    asked = stage.response_pairs
    assert asked is not None
    for problem_id, question, group in _by_question(responses):
        right = _distinct(one for one in group if one.verified and one.finish_reason == "stop")
        wrong = _distinct(one for one in group if _wrong(one))
        if len(right) < asked.right or len(wrong) < asked.wrong:
            few = "right" if len(right) < asked.right else "wrong"
            skipped[f"pairs: fewer than {getattr(asked, few)} {few} responses to a question"] += 1
            continue
        rng = Random(f"{seed}/{giver}/{problem_id}/{question}")
        drawn = rng.sample(right, asked.right), rng.sample(wrong, asked.wrong)
        for first, second in matched(asked):
            chosen, rejected = drawn[0][first], drawn[1][second]
            yield PreferencePair(
                id=f"{giver}/{chosen.id}-{rejected.id}",
                problem_id=problem_id,
                question=question,
                chosen=chosen.completion,
                rejected=rejected.completion,
                split=split_of(question, stage.test_share),
                origin=origin.model_copy(update={"model": chosen.model, "prompt": chosen.origin.prompt}),
            )


def matched(asked: ResponsePairs) -> list[tuple[int, int]]:
    """Which right response is set against which wrong one: no two alike, and each in as few pairs as can be."""
    around = lcm(asked.right, asked.wrong)
    return [(place % asked.right, (place + place // around) % asked.wrong) for place in range(asked.pairs)]


def _wrong(response: Response) -> bool:
    stated = response.extracted is not None and response.grading_error is None
    return stated and not response.verified and response.finish_reason == "stop"


def _distinct(responses: Iterable[Response]) -> list[Response]:
    return list({one.completion: one for one in responses}.values())


def _by_question(responses: Iterable[Response]) -> Iterator[tuple[str, str, Sequence[Response]]]:
    """Responses by problem and question (a translated one is another question), in the order in which they come."""
    groups: dict[tuple[str, str], list[Response]] = {}
    for response in responses:
        groups.setdefault((response.problem_id, response.question), []).append(response)
    for (problem_id, question), group in groups.items():
        yield problem_id, question, group
