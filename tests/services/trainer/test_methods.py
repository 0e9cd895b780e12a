"""Every method on a tiny model: it learns what it should, stops and goes on with the same weights, and says what cannot work."""

import asyncio
import json
from pathlib import Path

import pytest

from services.trainer import launch
from services.trainer.check import NotTrainable, check_machine
from services.trainer.data import DataError
from services.trainer.job import Done, Job, Pair, Sample, Started, Step, Steps, Stopped, write_rows
from services.trainer.stopping import Stopping
from services.trainer.training import train
from shared.answers.verify import GradingError
from shared.contracts.models import Sampling
from shared.contracts.stages.train import Lora, TrainStage
from tests.services.trainer.test_training import Listener, sample, weights


def pair(n: int, whole: bool = True) -> Pair:
    sides = {"chosen": f"The answer is {n + n}.", "rejected": f"The answer is {n + n + 1}!"}
    prefix = "" if whole else f"Step 1: {n} + {n} = {n + n}.\n"
    return Pair(id=str(n), problem_id=str(n), prompt=f"What is {n} + {n}?", prefix=prefix, whole=whole, **sides)


def steps(n: int) -> Steps:
    """A second step that is wrong where `n` is odd, which its punctuation betrays."""
    texts = (f"Step 1: {n} + {n} = {n + n}.", "Step 2: it ends!" if n % 2 else "Step 2: it ends.")
    return Steps(id=str(n), problem_id=str(n), question=f"What is {n} + {n}?", steps=texts, labels=(True, n % 2 == 0))


ROWS = {
    "sft": [sample(n) for n in range(20)],
    "dpo": [pair(n, whole=n % 3 > 0) for n in range(20)],
    "prm": [steps(n) for n in range(20)],
    "grpo": [Sample(id=str(n), problem_id=str(n), prompt=f"{n}?", completion="-", answer=str(n)) for n in range(12)],
}


def job_in(folder: Path, base: Path, method: str, **changes) -> Job:
    (folder / "checkpoints").mkdir(parents=True)
    write_rows(folder / "rows.jsonl", ROWS[method])
    job = Job(
        name="test",
        method=method,
        base=str(base),
        data=str(folder / "rows.jsonl"),
        output=str(folder / "model"),
        checkpoints=str(folder / "checkpoints"),
        epochs=4,
        learning_rate=3e-3,
        batch_size=8,
        max_length=256,
        generations=4,
        rollout=Sampling(temperature=1.0, max_tokens=8),
        warmup_share=0.1,
        save_steps=4,
        seed=1,
    )
    return job.model_copy(update=changes)


def run(job: Job, stop_at: int | None = None) -> Listener:
    listener = Listener(stop_at)
    train(job, listener.stopping, listener.tell)
    return listener


@pytest.mark.parametrize("method", ["dpo", "prm", "grpo"])
def test_a_method_stopped_and_resumed_ends_with_the_same_weights_bit_for_bit(tmp_path, tiny_model, method):
    import torch

    whole = run(job_in(tmp_path / "whole", tiny_model, method))
    job = job_in(tmp_path / "halved", tiny_model, method)
    first = run(job, stop_at=2)
    assert first.of(Stopped) and not (tmp_path / "halved/model").exists()
    second = run(job)
    assert second.of(Started)[0].resumed_from == first.of(Stopped)[0].step
    assert [one.loss for one in [*first.of(Step), *second.of(Step)]] == [one.loss for one in whole.of(Step)]
    mine, theirs = weights(tmp_path / "whole"), weights(tmp_path / "halved")
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert all(step.memory_gib > 0 and step.tokens_per_second > 0 for step in whole.of(Step))
    assert list((tmp_path / "whole/checkpoints/tensorboard").glob("events*")), "what TensorBoard shows"


def test_pairs_are_learned(tmp_path, tiny_model):
    from datasets import load_from_disk

    heard = run(job_in(tmp_path / "job", tiny_model, "dpo", epochs=8))
    shown = heard.of(Started)[0].shown
    assert "⟦The answer is 0.⟧ rather than ⟦The answer is 1!⟧" in shown, "single steps do not end the turn"
    figures = [step.figures for step in heard.of(Step)]
    assert heard.of(Step)[0].loss == pytest.approx(0.6931, abs=1e-3), "ln 2: at first the model is its own reference"
    pairs = load_from_disk(tmp_path / "job/checkpoints/pairs-by-length")
    assert len(pairs) == 20, "of eight epochs, every pair is read once by the reference"
    assert figures[-1]["rewards/margins"] > 0.5 and figures[-1]["rewards/accuracies"] == 1.0
    assert heard.of(Done)[0].tokens_per_second > 0


def test_pairs_whose_writing_was_cut_short_are_written_anew(tmp_path, tiny_model):
    job = job_in(tmp_path / "job", tiny_model, "dpo", epochs=1)
    half = tmp_path / "job/checkpoints/pairs-by-length-unfinished"
    half.mkdir()
    (half / "state.json").touch()
    assert run(job).of(Done)
    assert (tmp_path / "job/checkpoints/pairs-by-length/dataset_info.json").exists() and not half.exists()


def test_steps_are_judged(tmp_path, tiny_model):
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    heard = run(job_in(tmp_path / "job", tiny_model, "prm", epochs=30, learning_rate=1e-2))
    assert heard.of(Started)[0].shown.endswith("Step 1: 0 + 0 = 0.⟦right⟧\nStep 2: it ends.⟦right⟧\n")
    assert heard.of(Done)[0].loss < 0.3
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "job/model").float()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "job/model")
    newline = tokenizer("\n", add_special_tokens=False).input_ids
    for ending, right in ((".", True), ("!", False)):
        chat = [{"role": "user", "content": "What is 7 + 7?"}]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        for text in ("Step 1: 7 + 7 = 14.", f"Step 2: it ends{ending}"):
            ids = [*ids, *tokenizer(text, add_special_tokens=False).input_ids, *newline]
        logits = model(torch.tensor([ids])).logits[0, -1]
        assert bool(logits[1] > logits[0]) == right
    assert json.loads((tmp_path / "job/model/config.json").read_text())["id2label"] == {"0": "wrong", "1": "right"}


@pytest.mark.parametrize("method", ["dpo", "prm"])
def test_micro_batches_change_nothing_but_rounding(tmp_path, tiny_model, method):
    losses = [
        [step.loss for step in run(job_in(tmp_path / str(micro), tiny_model, method, micro_batch_size=micro, epochs=1)).of(Step)]
        for micro in (8, 2)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)


def test_packed_samples_do_not_see_each_other(tmp_path, tiny_model):
    """A word of the first changes nothing of what is predicted in the second; without the packing's positions it would."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback

    from services.trainer import sft
    from services.trainer.rows import Common
    from services.trainer.training import _arguments

    job = job_in(tmp_path / "job", tiny_model, "sft", packing=True)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    rows = sft.prepare(job, tokenizer, {tokenizer.eos_token_id}).rows[:2]
    common = Common(_arguments(job, 1, 2, cuda=False), tokenizer, TrainerCallback())
    trainer = sft.build(job, Dataset.from_list(rows), [0, 1], 64, common)
    packed = next(iter(trainer.get_train_dataloader()))
    assert packed["input_ids"].shape[0] == 1 and "attention_mask" not in packed
    second = int((packed["position_ids"][0] == 0).nonzero()[1])
    changed = packed["input_ids"].clone()
    changed[0, 3] += 1
    differ = {}
    for name, positions in (("packed", packed["position_ids"]), ("in a row", None)):
        with torch.no_grad():
            one, other = (trainer.model(input_ids=ids, position_ids=positions).logits[0] for ids in (packed["input_ids"], changed))
        differ[name] = not torch.equal(one[second:], other[second:])
        assert not torch.equal(one[3:second], other[3:second])
    assert differ == {"packed": False, "in a row": True}
    losses = [
        [step.loss for step in run(job_in(tmp_path / str(packing), tiny_model, "sft", packing=packing, epochs=1)).of(Step)]
        for packing in (False, True)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)


def test_rollouts_are_rewarded_by_their_answers():
    from services.trainer.grpo import Verified

    texts = ["Step 1: 2 + 2 = 4.\nThe answer is 4.", "The answer is 5.", "I do not know", "\\boxed{8/2}"]
    reward = Verified()
    for _ in range(2):  # the graders outlive a call
        assert reward([[{"role": "assistant", "content": text}] for text in texts], ["4"] * 4) == [1.0, 0.0, 0.0, 1.0]


def test_grpo_tells_of_its_rollouts(tmp_path, tiny_model):
    heard = run(job_in(tmp_path / "job", tiny_model, "grpo", epochs=1))
    assert heard.of(Started)[0].steps == 6, "12 questions of 4 completions, 8 completions a step"
    figures = [step.figures for step in heard.of(Step)]
    assert all(0 <= one["reward"] <= 1 and one["completions/mean_length"] <= 8 for one in figures)
    (done,) = heard.of(Done)
    assert heard.of(Started)[0].train_tokens is None and done.tokens_per_second > 0
    assert 48 * 21 < done.train_tokens <= 48 * (22 + 8), "48 completions of at most 8 tokens, each with its prompt"


@pytest.mark.parametrize("method", ["sft", "dpo", "prm"])
def test_an_adapter_is_merged_or_left_apart(tmp_path, tiny_model, method):
    import torch
    from safetensors.torch import load_file

    base = load_file(tiny_model / "model.safetensors")
    run(job_in(tmp_path / "merged", tiny_model, method, lora=Lora(rank=4)))
    merged = weights(tmp_path / "merged")
    assert set(base) <= set(merged) and {tensor.dtype for tensor in merged.values()} == {torch.bfloat16}
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert any("q_proj" in name for name in changed) and not any("embed" in name or "norm" in name for name in changed)
    assert not (tmp_path / "merged/adapter").exists()

    run(job_in(tmp_path / "apart", tiny_model, method, lora=Lora(rank=4, merge=False)))
    names = {path.name for path in (tmp_path / "apart/model").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= names and "model.safetensors" not in names


def test_an_adapter_learns(tmp_path, tiny_model):
    losses = [step.loss for step in run(job_in(tmp_path / "job", tiny_model, "sft", lora=Lora(rank=8), epochs=12)).of(Step)]
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_an_adapters_dropout_is_heeded(tmp_path, tiny_model, method):
    losses = [
        [step.loss for step in run(job_in(tmp_path / str(share), tiny_model, method, lora=Lora(rank=4, dropout=share))).of(Step)]
        for share in (0.0, 0.9)
    ]
    assert losses[0] != losses[1]


def test_wrong_steps_are_read_but_not_learned(tmp_path, tiny_model, tokenizer):
    text = "Step 1: 2 + 2 = 5.\nWait, it is 4.\nThe answer is 4."
    one = Sample(id="s", problem_id="p", prompt="What is 2 + 2?", completion=text, unlearned=((0, 19),))
    job = job_in(tmp_path / "job", tiny_model, "sft", batch_size=1, epochs=1)
    write_rows(Path(job.data), [one])
    shown = run(job).of(Started)[0].shown
    assert shown.endswith("assistant\nStep 1: 2 + 2 = 5.\n⟦Wait, it is 4.\nThe answer is 4.<|im_end|>⟧")


def test_a_budget_of_tokens_stands_in_for_epochs(tmp_path, tiny_model):
    one = run(job_in(tmp_path / "one", tiny_model, "sft", epochs=1)).of(Started)[0]
    budget = 3 * one.train_tokens
    job = job_in(tmp_path / "three", tiny_model, "sft", epochs=1, train_tokens=budget)
    many = run(job).of(Started)[0]
    assert budget <= many.train_tokens < budget + one.train_tokens


@pytest.mark.parametrize("method", ["sft", "dpo", "prm", "grpo"])
def test_no_data_and_too_little_room_are_refused(tmp_path, tiny_model, method):
    job = job_in(tmp_path / "short", tiny_model, method, max_length=5)
    with pytest.raises(DataError, match="max_length 5 is too short for all"):
        train(job, Stopping(), lambda event: None)
    Path(job.data).write_text("")
    with pytest.raises(DataError, match="nothing to train on"):
        train(job, Stopping(), lambda event: None)


def test_a_sample_without_an_assistants_turn_is_named(tmp_path, tiny_model):
    job = job_in(tmp_path / "job", tiny_model, "sft")
    write_rows(Path(job.data), [sample(0), Sample(id="bad", problem_id="p", prompt="?", completion="")])
    with pytest.raises(DataError, match="sample bad: it has no assistant's turn"):
        train(job, Stopping(), lambda event: None)


def test_a_sink_that_is_named_but_not_installed_is_refused_before_a_device_is_taken(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    stage = TrainStage(base="base", data="data")
    with pytest.raises(NotTrainable, match="the package `mlflow` is not installed"):
        check_machine("teach", stage)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    check_machine("teach", stage)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accelerate": "fsdp", "processes": 2}, "stages.teach.accelerate needs CUDA devices"),
        ({"accelerate": "mine", "processes": 2}, "stages.teach.accelerate needs the file"),
        ({"lora": {"quantised": True}}, "stages.teach.lora.quantised needs a CUDA device"),
    ],
)
def test_what_this_machine_lacks_is_refused(changes, words):
    if list(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has CUDA devices")
    with pytest.raises(NotTrainable, match=words):
        check_machine("teach", TrainStage.model_validate({"base": "base", "data": "data", **changes}))


def test_a_training_that_diverges_is_refused_and_leaves_no_model(tmp_path, tiny_model):
    with pytest.raises(DataError, match="the loss became .* in step .*: the learning rate is too high"):
        run(job_in(tmp_path / "job", tiny_model, "sft", learning_rate=1e38))
    assert not (tmp_path / "job/model").exists()


def test_two_processes_prefer_as_one(tmp_path, tiny_model):
    alone = run(job_in(tmp_path / "alone", tiny_model, "dpo", epochs=2))
    together = Listener()

    async def hear(event):
        together.tell(event)

    job = job_in(tmp_path / "together", tiny_model, "dpo", epochs=2, processes=2)
    asyncio.run(launch.run(job, tmp_path / "job.json", tmp_path / "log.txt", hear))
    assert [step.loss for step in together.of(Step)] == pytest.approx([step.loss for step in alone.of(Step)], rel=1e-3)


def test_a_question_without_an_answer_cannot_be_rewarded(tmp_path, tiny_model):
    job = job_in(tmp_path / "job", tiny_model, "grpo")
    write_rows(tmp_path / "job/rows.jsonl", [*ROWS["grpo"][:3], Sample(id="open", problem_id="p", prompt="Why?", completion="-")])
    with pytest.raises(DataError, match="sample open: it has no answer, by which completions are rewarded"):
        run(job)


def test_what_could_not_be_graded_is_no_figure(tmp_path, tiny_model, monkeypatch):
    async def fails(gold: str, stated: str) -> bool:
        raise GradingError("took too long")

    monkeypatch.setattr("services.trainer.grpo.verify", fails)
    monkeypatch.setattr("services.trainer.grpo.final_answer", lambda text: "1")
    heard = run(job_in(tmp_path / "job", tiny_model, "grpo", epochs=1))
    assert all("reward" not in step.figures for step in heard.of(Step)) and heard.of(Done)
