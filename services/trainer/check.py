"""Whether a model can be trained: asked before a run, in a process of its own (`python -m services.trainer.check FOLDER`)."""

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from services.trainer.job import REFUSED, Sample
from services.trainer.launch import accelerate_file
from services.trainer.sinks import missing_sink
from shared.contracts.stages import TrainStage
from shared.gpus import visible_gpus

SECONDS = 300.0
REMEMBERING = {"conv", "hybrid", "hybrid_sliding", "linear_attention"}
"""Of transformers' kinds of layers (ALLOWED_LAYER_TYPES)."""
PROBE = Sample(id="probe", problem_id="probe", prompt="What is 2 + 3?", completion="Step 1: 2 + 3 = 5.\nThe answer is 5.")


class NotTrainable(Exception):
    """A model that cannot be trained; says why and what to do."""


def check_trainable(model: str, judges: bool = False, max_length: int = 1, packs: bool = False) -> None:
    """Proves that a model (a name, a folder, a hub id) resolves, that it is a causal language model which transformers knows, that
    its context holds `max_length` tokens, and that its chat template trains: the answer whole, and an end of the turn after it.
    With `judges`, that a step-level reward model can be made of it; with `packs`, that samples in one row don't see each other.

    Raises NotTrainable, and what `resolve_model` raises. Blocks some seconds: call it from a thread.
    """
    from shared.engines.models import resolve_model

    folder = resolve_model(model)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    options = ["--max-length", str(max_length), *(["--judges"] if judges else []), *(["--packs"] if packs else [])]
    command = [sys.executable, "-m", "services.trainer.check", str(folder), *options]
    try:
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotTrainable(
            f"the model {model} was not loaded within {SECONDS:.0f} s: this machine is too busy, or it hangs"
        ) from error
    if run.returncode:
        raise NotTrainable(f"the model {model} cannot be trained: {run.stdout.strip() or run.stderr.strip()[-1000:]}")


def check_machine(name: str, stage: TrainStage) -> None:
    """What a train stage asks of the machine is here: devices, libraries, the accelerate configuration. Raises NotTrainable."""
    cards = len(visible_gpus())
    wanted = []
    if stage.lora and stage.lora.quantised:
        wanted.append(("a CUDA device", cards > 0, "lora.quantised"))
        wanted.append(("the package bitsandbytes", find_spec("bitsandbytes") is not None, "lora.quantised"))
    if stage.accelerate:
        file = accelerate_file(stage.accelerate)
        wanted.append((f"the file {file}", file.is_file(), "accelerate"))
        # on CPUs accelerate would leave the sharding out without a word
        wanted.append(("CUDA devices", cards > 0, "accelerate"))
    if stage.accelerate == "zero3":
        wanted.append(("the package deepspeed", find_spec("deepspeed") is not None, "accelerate"))
    if cards:
        wanted.append((f"{stage.processes} CUDA devices (there are {cards})", stage.processes <= cards, "processes"))
    if missing := missing_sink():
        raise NotTrainable(missing)
    for what, there, field in wanted:
        if not there:
            raise NotTrainable(f"stages.{name}.{field} needs {what}, which the trainer's machine does not have")


def problem_of(folder: Path, judges: bool = False, max_length: int = 1, packs: bool = False) -> str | None:
    """Why the model in this folder cannot be trained on samples of so many tokens (with `judges`: to judge steps; with `packs`:
    several in a row); None if it can.

    Imports transformers: for the child process.
    """
    from transformers import AutoConfig, AutoTokenizer
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    )

    from services.trainer.data import DataError, check_length, check_mask, encode, end_tokens, separator, stops

    if not any(folder.glob("*.safetensors")):
        return f"{folder} holds no *.safetensors weights"
    try:
        config = AutoConfig.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        return f"its config or tokenizer does not load: {error}"
    kind = config.model_type
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return f"`{kind}` is not a causal language model that transformers knows"
    if judges and kind not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES:
        return f"transformers knows no token classifier of `{kind}`, so it cannot learn to judge steps"
    if packs and (layers := _remembering(config)):
        return f"`packing`: its layers ({layers}) carry what they read from one sample of a row into the next; leave packing out"
    if tokenizer.chat_template is None:
        return "its tokenizer has no chat template: take an instruct model, or add one to its folder"
    try:
        check_length(config, max_length)
        ends = end_tokens(tokenizer, stops(folder))
        check_mask(tokenizer, PROBE, encode(tokenizer, PROBE, ends), ends)
        if judges:
            separator(tokenizer)
    except DataError as error:
        return str(error)
    return None


def _remembering(config: Any) -> str:
    """The kinds of a model's layers that no mask keeps from the sample before (recurrent ones, convolutions); '' if it has none."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found = sorted(REMEMBERING & set(getattr(config.get_text_config(), "layer_types", None) or []))
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[config.model_type]
    recurrent = getattr(transformers, name if isinstance(name, str) else name[0])._is_stateful
    return ", ".join(found) or ("recurrent" if recurrent else "")


def main() -> int:
    """Prints what is wrong with a model, if anything is."""
    parser = argparse.ArgumentParser(description="Whether a model can be trained.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--judges", action="store_true", help="to judge steps")
    parser.add_argument("--packs", action="store_true", help="several samples in a row")
    parser.add_argument("--max-length", type=int, default=1, help="tokens of the longest sample")
    arguments = parser.parse_args()
    found = problem_of(arguments.folder, arguments.judges, arguments.max_length, arguments.packs)
    if found:
        print(found)
    return REFUSED if found else 0


if __name__ == "__main__":
    sys.exit(main())
