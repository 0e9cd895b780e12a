"""Tiny process reward models of the real architectures, with random weights in fp32 and tokenizers that have the real marks.

Layout and names of the files are those of the published checkpoints (`pytorch_model.bin` where these have nothing else).
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForTokenClassification,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Model,
)

SIZES = {"hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
TEXTS = [
    "Tom has 5 boxes of 6 pens, so 5 * 6 = 30 pens. ки ки + - + - He loses 4, so 30 - 4 = 26 pens. ки The answer is 26. ки",
    "How many pens are left? Please reason step by step, and put your final answer within boxed. Step 1: Step 2:\n\n user",
] * 4
# The pre-tokenizers of Qwen2 and (but for numbers) of Llama 3: a newline joins the punctuation before it.
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{{ message.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
QWEN_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def math_shepherd(folder: Path) -> None:
    """Mistral, with a SentencePiece-like tokenizer."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split("▁", "merged_with_next")]
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", "<s>", "</s>", *bytes_]))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    _save_tokenizer(tokenizer, folder, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    config = MistralConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=512, sliding_window=None, **SIZES)
    _save_as_bin(_random(MistralForCausalLM(config)), folder)


def rlhflow(folder: Path) -> None:
    """Llama 3."""
    special = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer = _byte_level(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))]
    )
    _save_tokenizer(tokenizer, folder, bos_token=special[0], eos_token=special[3], chat_template=LLAMA_CHAT)
    config = LlamaConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=512, **SIZES)
    _random(LlamaForCausalLM(config)).save_pretrained(folder)


def skywork(folder: Path) -> None:
    """Qwen2 with tied embeddings and a value head, under an architecture of its own."""
    tokenizer = _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    _save_tokenizer(tokenizer, folder, bos_token="<|im_start|>", eos_token="<|im_end|>", chat_template=QWEN_CHAT)
    config = Qwen2Config(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=512, tie_word_embeddings=True, **SIZES)
    _save_as_bin(_random(Qwen2ForCausalLM(config)), folder, {"v_head.summary": torch.nn.Linear(SIZES["hidden_size"], 1)})
    _describe(folder, architectures=["Qwen2ForPrmModel"], auto_map={"AutoModel": "modeling_qwen2_rm.Qwen2ForRewardModel"})


def qwen(folder: Path) -> None:
    """Qwen2 with a classifier of two layers."""
    tokenizer = _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"])
    _save_tokenizer(tokenizer, folder, eos_token="<|im_end|>", chat_template=QWEN_CHAT)
    config = Qwen2Config(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=256, **SIZES)
    backbone = _random(Qwen2Model(config))
    backbone.save_pretrained(folder)
    width = SIZES["hidden_size"]
    head = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))
    tensors = {f"model.{name}": tensor for name, tensor in backbone.state_dict().items()}
    tensors |= {f"score.{name}": 3 * tensor.detach() for name, tensor in head.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    code = {"AutoConfig": "configuration_qwen2_rm.Qwen2RMConfig", "AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel"}
    _describe(folder, architectures=["Qwen2ForProcessRewardModel"], auto_map=code)


def longthought(folder: Path) -> None:
    """Llama with a classifier of two labels, as a training with method `prm` leaves it."""
    tokenizer = _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    _save_tokenizer(tokenizer, folder, bos_token="<|im_start|>", eos_token="<|im_end|>", chat_template=QWEN_CHAT)
    config = LlamaConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=512, num_labels=2, **SIZES)
    _random(LlamaForTokenClassification(config)).save_pretrained(folder)


def _byte_level(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(WORDS), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([*TEXTS, "30.\n26.\n"], trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    return tokenizer


def _save_tokenizer(tokenizer: Tokenizer, folder: Path, chat_template: str | None = None, **special: str) -> None:
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=chat_template, **special).save_pretrained(folder)


def _random(model: PreTrainedModel) -> PreTrainedModel:
    """Weights as large as makes scores differ well."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.3 if "embed" in name else 0.2)
    return model.float().eval()


def _save_as_bin(model: PreTrainedModel, folder: Path, heads: dict[str, torch.nn.Module] | None = None) -> None:
    model.config.architectures = [type(model).__name__]
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    tensors = dict(model.state_dict())
    for prefix, head in (heads or {}).items():
        tensors |= {f"{prefix}.{name}": tensor for name, tensor in head.state_dict().items()}
    torch.save(tensors, folder / "pytorch_model.bin")


def _describe(folder: Path, **more: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))
