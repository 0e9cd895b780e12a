"""Which samples a training sees, and how many at a time."""

from pathlib import Path

import pytest

from services.trainer.data import DataError
from services.trainer.job import Pair, Sample, Started, Step, write_rows
from services.trainer.stopping import Stopping
from tests.services.trainer import test_methods as methods
from tests.services.trainer.test_training import Listener, job_in

ENDS = "A turn ends with <|im_end|> there. The answer is 4."


@pytest.mark.parametrize(
    ("lengths", "size"),
    [
        ([200] * 100, 4),
        ([200] * 99 + [600], 2),  # one long sample halves it, and does not make it 1
        ([200] * 90 + [600] * 10, 1),
        ([100] * 99 + [200], 8),
        ([2000] * 3, 1),
        ([100], 8),
    ],
)
def test_a_long_sample_makes_no_micro_batches_of_one(tmp_path, tiny_model, lengths, size):
    from services.trainer.training import _micro_batch

    job = job_in(tmp_path / "job", tiny_model)
    assert _micro_batch(job, lengths, 1024) == size
    assert _micro_batch(job.model_copy(update={"micro_batch_size": 2}), lengths, 1024) == 2


def test_micro_batches_change_nothing_but_rounding(tmp_path, tiny_model):
    """Short answers that the model knows beside long ones that it does not: a mean of the micro-batches' means would be another."""
    from services.trainer.training import train

    def rows(folder: Path, samples: list[Sample]) -> None:
        write_rows(folder / "rows.jsonl", samples)

    known = [Sample(id=str(n), problem_id=str(n), prompt=f"What is {n}?", completion="It is so.") for n in range(8)]
    job = job_in(tmp_path / "known", tiny_model, epochs=30)
    rows(tmp_path / "known", known)
    train(job, Stopping(), lambda event: None)
    new = [
        one.model_copy(update={"id": f"new-{one.id}", "completion": f"No, {n} pens were lost there. " * 4})
        for n, one in enumerate(known)
    ]
    losses = {}
    for micro in (16, 4):
        listener = Listener()
        changes = {"micro_batch_size": micro, "epochs": 1, "batch_size": 16}
        job = job_in(tmp_path / str(micro), tmp_path / "known" / "model", **changes)
        rows(tmp_path / str(micro), [*known, *new])
        train(job, listener.stopping, listener.tell)
        (step,) = listener.of(Step)
        losses[micro] = step.loss
    assert losses[16] == pytest.approx(losses[4], rel=2e-3) and losses[16] > 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_length": 20}, "max_length 20 is too short for all 20 samples"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, tiny_model, changes, words):
    from services.trainer.training import train

    with pytest.raises(DataError, match=words):
        train(job_in(tmp_path / "job", tiny_model, **changes), Stopping(), lambda event: None)


def test_too_long_samples_are_left_out_and_counted(tmp_path, tiny_model):
    from services.trainer.training import train

    listener = Listener()
    train(job_in(tmp_path / "job", tiny_model, max_length=80, epochs=1), listener.stopping, listener.tell)
    assert (listener.of(Started)[0].samples, listener.of(Started)[0].too_long) == (14, 6)


def test_a_sample_whose_counterpart_is_left_out_is_left_out_of_both_arms(tmp_path, tiny_model):
    from services.trainer.training import train

    short, long = "The answer is 4.", "Step 1: 2 + 2 = 5. No. " * 9 + "The answer is 4."
    counts = []
    for mine, other in ((short, long), (long, short), (short, ENDS), (ENDS, short)):
        job = job_in(tmp_path / str(len(counts)), tiny_model, max_length=80, epochs=1)
        texts = [(mine, other) if n < 3 else (short, short) for n in range(20)]
        samples = [Sample(id=str(n), problem_id=str(n), prompt="?", completion=a, beside=b) for n, (a, b) in enumerate(texts)]
        write_rows(Path(job.data), samples)
        listener = Listener()
        train(job, listener.stopping, listener.tell)
        (started,) = listener.of(Started)
        counts.append((started.samples, started.too_long, started.unfit))
    assert counts == [(17, 3, 0), (17, 3, 0), (17, 0, 3), (17, 0, 3)]


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_answers_that_all_hold_the_end_of_a_turn_are_refused(tmp_path, tiny_model, method):
    job = methods.job_in(tmp_path / "job", tiny_model, method)
    sides = {"chosen": ENDS, "rejected": "The answer is 5.", "whole": True} if method == "dpo" else {"completion": ENDS}
    row = Pair if method == "dpo" else Sample
    write_rows(Path(job.data), [row(id=str(n), problem_id=str(n), prompt="?", **sides) for n in range(3)])
    with pytest.raises(DataError, match=r"sample 2.*: its answer holds the end-of-turn token '<\|im_end\|>' itself"):
        methods.run(job)
    write_rows(Path(job.data), [row(id="bad", problem_id="bad", prompt="?", **sides), *methods.ROWS[method]])
    (started,) = methods.run(job).of(Started)
    assert (started.samples, started.unfit) == (20, 1)
