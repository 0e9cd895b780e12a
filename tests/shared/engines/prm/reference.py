"""What each model's card computes, written plainly with transformers: one path at a time, whole input, no cache.

Written from the cards' words and examples; each function names its source. They know nothing of the code under test.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    LlamaForCausalLM,
    LlamaForTokenClassification,
    MistralForCausalLM,
    Qwen2ForCausalLM,
    Qwen2Model,
)


def tokenizer_of(folder: Path):
    return AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def math_shepherd(folder: Path, question: str, steps: list[str]) -> list[float]:
    """https://huggingface.co/peiyi9979/math-shepherd-mistral-7b-prm"""
    tokenizer = tokenizer_of(folder)
    model = MistralForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    plus, minus = tokenizer.encode("+ -")[1:]
    tag = tokenizer.encode("ки")[-1]
    output = "\n".join(f"{step} ки" for step in steps)
    ids = torch.tensor([tokenizer.encode(f"{question} {output}")])
    scores = model(ids).logits[:, :, [plus, minus]].softmax(dim=-1)[:, :, 0]
    return scores[ids == tag].tolist()


@torch.no_grad()
def rlhflow(folder: Path, question: str, steps: list[str]) -> list[float]:
    """https://github.com/RLHFlow/RLHF-Reward-Modeling/blob/main/math-rm/prm_evaluate.py: a pass for every step"""
    tokenizer = tokenizer_of(folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    plus, minus = tokenizer.encode("+")[-1], tokenizer.encode("-")[-1]
    conversation, scores = [], []
    for number, step in enumerate(steps):
        conversation.append({"role": "user", "content": question + " " + step if number == 0 else step})
        conversation.append({"role": "assistant", "content": "+"})
        text = tokenizer.apply_chat_template(conversation, tokenize=False)
        ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
        assert ids[0, -2] == plus, "the third from last is one before `+`"
        scores.append(model(ids).logits[0, -3, [plus, minus]].softmax(dim=-1)[0].item())
    return scores


@torch.no_grad()
def skywork(folder: Path, question: str, steps: list[str]) -> list[float]:
    """https://github.com/SkyworkAI/skywork-o1-prm-inference, README, io_utils.py, prm_model.py: one score a *line*"""
    tokenizer = tokenizer_of(folder)
    tensors = torch.load(folder / "pytorch_model.bin")
    weight, bias = tensors.pop("v_head.summary.weight"), tensors.pop("v_head.summary.bias")
    described = json.loads((folder / "config.json").read_text())
    described.pop("auto_map")
    model = Qwen2ForCausalLM(Qwen2ForCausalLM.config_class(**described)).float().eval()
    model.load_state_dict(tensors)
    newline = tokenizer.encode("\n")[-1]
    ids, flags = tokenizer.encode(tokenizer.bos_token + question + "\n"), []
    for line in "\n".join(steps).split("\n"):
        ids += [*(tokenizer.encode(line) if line else []), newline]
        flags.append(len(ids) - 1)
    hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
    return torch.sigmoid(hidden @ weight[0] + bias)[flags].tolist()


@torch.no_grad()
def qwen(folder: Path, question: str, steps: list[str]) -> list[float]:
    """https://huggingface.co/Qwen/Qwen2.5-Math-PRM-7B, Quick Start"""
    tokenizer = tokenizer_of(folder)
    tensors = load_file(folder / "model.safetensors")
    described = json.loads((folder / "config.json").read_text())
    described.pop("auto_map")
    model = Qwen2Model(Qwen2Model.config_class(**described)).float().eval()
    model.load_state_dict({name.removeprefix("model."): one for name, one in tensors.items() if name.startswith("model.")})
    messages = [
        {"role": "system", "content": "Please reason step by step, and put your final answer within \\boxed{}."},
        {"role": "user", "content": question},
        {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
    ids = torch.tensor([tokenizer.encode(text)])
    hidden = model(ids).last_hidden_state
    inner = torch.relu(hidden @ tensors["score.0.weight"].T + tensors["score.0.bias"])
    logits = inner @ tensors["score.2.weight"].T + tensors["score.2.bias"]
    return logits.softmax(dim=-1)[ids == tokenizer.encode("<extra_0>")[0]][:, 1].tolist()


@torch.no_grad()
def longthought(folder: Path, question: str, steps: list[str]) -> list[float]:
    """A checkpoint's own card (`services/trainer/card.py`)."""
    tokenizer = tokenizer_of(folder)
    model = LlamaForTokenClassification.from_pretrained(folder, dtype=torch.float32).eval()
    messages = [{"role": "user", "content": question}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    ends = []
    for step in steps:
        ids += tokenizer(step, add_special_tokens=False).input_ids + tokenizer("\n", add_special_tokens=False).input_ids
        ends.append(len(ids) - 1)
    return model(torch.tensor([ids])).logits.softmax(dim=-1)[0, ends, 1].tolist()
