"""Models of other makes than the tiny one, and what publishers' folders hold."""

import json
from pathlib import Path

import pytest

from services.trainer.check import problem_of
from services.trainer.job import Done, Sample, Step, write_rows
from services.trainer.models import load
from shared.contracts.stages.train import Lora
from tests.services.trainer.conftest import TEMPLATE, byte_tokenizer
from tests.services.trainer.test_methods import job_in, run

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED = {**SMALL, "num_key_value_heads": 2}


def config_of(kind: str, **fields):
    from transformers import AutoConfig

    tokenizer = byte_tokenizer(TEMPLATE)
    ends = {"bos_token_id": 1, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    return AutoConfig.for_model(kind, vocab_size=len(tokenizer), **ends, **fields)


def folder_of(folder: Path, config) -> Path:
    """A folder in Hugging Face layout, weights random but always the same."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)
    byte_tokenizer(TEMPLATE).save_pretrained(folder)
    return folder


def test_a_judge_whose_head_has_another_name_learns_with_an_adapter(tmp_path):
    base = folder_of(tmp_path / "base", config_of("gpt_neox", **SMALL))
    assert problem_of(base, judges=True) is None
    losses = [step.loss for step in run(job_in(tmp_path / "job", base, "prm", lora=Lora(rank=4), learning_rate=2e-2)).of(Step)]
    assert losses[-1] < losses[0]


def test_attention_is_what_the_model_has(tmp_path, tiny_model):
    from transformers import AutoModelForCausalLM

    experts = {"head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1}
    base = folder_of(tmp_path / "base", config_of("gpt_oss", **{**GROUPED, "intermediate_size": 32}, **experts))
    found = []
    for folder, longest in ((tiny_model, 2000), (tiny_model, 20), (base, 2000)):
        job = job_in(tmp_path / f"job-{folder.name}-{longest}", folder, "sft")
        found.append(load(job, AutoModelForCausalLM, longest).config._attn_implementation)
    assert found == ["sdpa", "eager", "eager"]


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("llama", GROUPED, None),
        ("gemma3_text", {**GROUPED, "head_dim": 8}, None),
        ("lfm2", {**GROUPED, "layer_types": ["conv", "full_attention"]}, "`packing`: its layers (conv) carry"),
        ("qwen3_next", GROUPED, "`packing`: its layers (linear_attention) carry"),
        ("mamba", {"hidden_size": 32, "num_hidden_layers": 2}, "carry what they read from one sample of a row into the next"),
    ],
)
def test_samples_are_packed_where_nothing_carries_one_into_the_next(tmp_path, kind, fields, words):
    config_of(kind, **fields).save_pretrained(tmp_path)
    byte_tokenizer(TEMPLATE).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert problem_of(tmp_path) is None
    found = problem_of(tmp_path, packs=True)
    assert found is None if words is None else words in str(found)


def test_a_models_own_way_with_losses_changes_nothing(tmp_path):
    """Gemma 4 says that it takes no count of the step's tokens: the loss is not its own, and is the step's mean all the same."""
    from transformers import Gemma4Config, Gemma4ForConditionalGeneration

    like = config_of("llama", **GROUPED)
    text = {
        **{name: getattr(like, name) for name in (*GROUPED, "vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")},
        **{"head_dim": 8, "global_head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]},
        **{"num_kv_shared_layers": 0, "hidden_size_per_layer_input": 0, "final_logit_softcapping": 30.0},
    }
    others = {f"{name}_token_id": 3 + place for place, name in enumerate(("image", "video", "audio", "boi", "eoi"))}
    base = folder_of(tmp_path / "base", Gemma4Config(text_config=text, vision_config=None, audio_config=None, **others))
    assert not Gemma4ForConditionalGeneration.accepts_loss_kwargs
    rows = [Sample(id=str(n), problem_id="p", prompt=f"{n}?", completion="Yes." * (1 if n < 4 else 9)) for n in range(8)]
    losses = []
    for micro in (8, 2):
        job = job_in(tmp_path / str(micro), base, "sft", micro_batch_size=micro, epochs=1)
        write_rows(Path(job.data), rows)
        losses.append([step.loss for step in run(job).of(Step)])
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)


@pytest.mark.parametrize("lora", [None, Lora(rank=4)], ids=["whole", "merged adapter"])
def test_what_is_trained_stops_where_it_learned_to_and_keeps_what_goes_with_it(tmp_path, lora):
    """A base with a chat's template whose tokenizer names another end, figures that transformers won't write, and an eye."""
    base = folder_of(tmp_path / "base", config_of("llama", **GROUPED))
    tokenizer = byte_tokenizer(TEMPLATE)
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.save_pretrained(base)
    text_end, turn_end = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": text_end, "temperature": 0.9, "top_p": 0.6}))
    (base / "preprocessor_config.json").write_text('{"image_processor_type": "none"}')
    assert problem_of(base) is None
    listener = run(job_in(tmp_path / "job", base, "sft", lora=lora, epochs=1))
    assert listener.of(Done)
    made = tmp_path / "job" / "model"
    generation = json.loads((made / "generation_config.json").read_text())
    assert set(generation["eos_token_id"]) == {text_end, turn_end} and "temperature" not in generation
    assert (made / "preprocessor_config.json").read_text() == (base / "preprocessor_config.json").read_text()
    assert problem_of(made) is None
