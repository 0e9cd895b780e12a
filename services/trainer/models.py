"""Models into the training process and out of it: loaded for a job, saved in Hugging Face layout."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig, GenerationConfig, PreTrainedTokenizerBase, Trainer

from services.trainer.data import end_tokens
from services.trainer.job import Job
from shared.cpu import fast_dtype
from shared.engines.models import HUB_ID

EAGER_LENGTH = 768
"""Up to this length attention by plain matrix products is the faster one on a CPU; beyond, its matrices take too much memory (of
SmolLM2-135M, two samples of this length: 2.5 GB)."""


HEADS = ["score", "classifier"]
"""A token classifier's head, by what models call it: it is new, and trained whole, whatever becomes of the rest."""
PROCESSORS = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
"""What a base that reads pictures, too, has beside its tokenizer; engines ask for it although nothing of it was trained."""


def load(job: Job, kind: Any, longest: int, **changes: Any) -> Any:
    """The base of a job as a model of `kind` (an Auto class), in bf16 (in fp32 on CPUs without it) or, for a quantised adapter, in
    4 bits (NF4).
    """
    if job.lora and job.lora.quantised:
        changes["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            bnb_4bit_quant_storage=torch.bfloat16,  # or FSDP could not shard it
            llm_int8_skip_modules=HEADS if job.method == "prm" else None,  # None: those that transformers keeps, the output layer
        )
    wanted = attention(longest, job.packing)
    try:
        model = kind.from_pretrained(job.base, dtype=weights(), attn_implementation=wanted, **changes)
    except ValueError:  # this model does not have it: it is told before any weight is read
        if wanted is None:
            raise
        model = kind.from_pretrained(job.base, dtype=weights(), **changes)
    # whether activations are recomputed is the arguments' to say
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False) if "quantization_config" in changes else model


def weights() -> torch.dtype:
    """The type of the weights while they are trained; whole models are saved in bf16 everywhere."""
    dtype: torch.dtype = torch.bfloat16 if torch.cuda.is_available() else getattr(torch, fast_dtype())
    return dtype


def attention(longest: int, packing: bool) -> str | None:
    """The fastest implementation that this machine has. `longest`: tokens of the longest sequence. None: torch's own (sdpa) where
    the model has it, and plain matrix products where it does not.
    """
    if torch.cuda.is_available():
        return "flash_attention_2" if importlib.util.find_spec("flash_attn") else None
    return None if packing or longest > EAGER_LENGTH else "eager"


def settle(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Makes the generation configuration stop where the turns learned from end, and such that it can be saved: publishers leave
    sampling figures in it that transformers reads, and refuses to write.
    """
    config = getattr(model, "generation_config", None)
    if config is None:  # it judges
        return
    try:
        config.validate(strict=True)
    except ValueError:
        config = GenerationConfig(
            bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
        )
    ends = end_tokens(tokenizer, config.eos_token_id)
    known = {config.eos_token_id} if isinstance(config.eos_token_id, int) else set(config.eos_token_id or [])
    if not ends <= known:
        config.eos_token_id = sorted(ends)
    model.generation_config = config


def adapter(job: Job, task: str = TaskType.CAUSAL_LM) -> LoraConfig | None:
    """The configuration of the job's adapter: over every linear layer but the head."""
    if job.lora is None:
        return None
    return LoraConfig(
        task_type=task,
        r=job.lora.rank,
        lora_alpha=job.lora.alpha,
        lora_dropout=job.lora.dropout,
        target_modules="all-linear",
        exclude_modules=HEADS,
    )


def save(job: Job, trainer: Trainer, tokenizer: PreTrainedTokenizerBase) -> None:
    """The model in Hugging Face layout: bf16 safetensors, config, generation config, tokenizer and chat template.

    An adapter is merged into a base that is loaded anew: not into one that is sharded, or rounded to 4 bits. Every process calls
    it, the first one writes.
    """
    sharded = _gathered(trainer) if job.accelerate else None
    narrow = job.lora is None and weights() == torch.float32
    if sharded is not None and narrow:
        sharded = {name: weight.to(torch.bfloat16) if weight.is_floating_point() else weight for name, weight in sharded.items()}
    if not trainer.is_world_process_zero():
        return
    output = Path(job.output)
    model = trainer.accelerator.unwrap_model(trainer.model)
    if job.lora and HUB_ID.fullmatch(job.base_name):  # not the folder that it lay in here; peft can load no other name of it
        model.peft_config["default"].base_model_name_or_path = job.base_name
    if job.lora is None:
        # on a GPU the weights have the types that they are to have: a few models keep some in fp32
        (model.to(torch.bfloat16) if narrow else model).save_pretrained(output, state_dict=sharded)
    elif not job.lora.merge:
        model.save_pretrained(output, state_dict=sharded)
    else:
        apart = output.with_name("adapter")
        model.save_pretrained(apart, state_dict=sharded)
        kind = type(model.get_base_model())
        config = model.get_base_model().config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        base = kind.from_pretrained(job.base, dtype=torch.bfloat16, config=config)
        settle(base, tokenizer)
        PeftModel.from_pretrained(base, apart).merge_and_unload().to(torch.bfloat16).save_pretrained(output)
        shutil.rmtree(apart)
    tokenizer.save_pretrained(output)
    for name in PROCESSORS:
        if (Path(job.base) / name).exists():
            shutil.copyfile(Path(job.base) / name, output / name)


def _gathered(trainer: Trainer) -> dict[str, torch.Tensor]:
    """All weights of a sharded model, on the first process; every process calls it, and the others get none.

    A head that is tied to the embedding is gathered as a copy of it, which nobody else who saves a model writes.
    """
    whole: dict[str, torch.Tensor] = trainer.accelerator.get_state_dict(trainer.model_wrapped) or {}
    for name, same in trainer.accelerator.unwrap_model(trainer.model).all_tied_weights_keys.items():
        if name in whole and same in whole:
            if not torch.equal(whole[name], whole[same]):
                raise RuntimeError(f"{name} was tied to {same}, and is another now: these weights cannot be saved as one model")
            del whole[name]
    return whole
