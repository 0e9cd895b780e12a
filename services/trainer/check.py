"""Whether a model can be trained: asked before a run, in a process of its own (`python -m services.trainer.check FOLDER`)."""

import os
import subprocess
import sys
from pathlib import Path

from services.trainer.job import REFUSED, Sample

SECONDS = 300.0
PROBE = Sample(id="probe", problem_id="probe", prompt="What is 2 + 3?", completion="Step 1: 2 + 3 = 5.\nThe answer is 5.")


class NotTrainable(Exception):
    """A model that cannot be trained; says why and what to do."""


def check_trainable(model: str) -> None:
    """Proves that a model (a name, a folder, a hub id) resolves, that it is a causal language model which transformers knows, and
    that its chat template trains: the answer whole, and an end of the turn after it.

    Raises NotTrainable, and what `resolve_model` raises. Blocks some seconds: call it from a thread.
    """
    from shared.engines.models import resolve_model

    folder = resolve_model(model)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "services.trainer.check", str(folder)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    if run.returncode:
        raise NotTrainable(f"{model} cannot be trained: {run.stdout.strip() or run.stderr.strip()[-1000:]}")


def problem_of(folder: Path) -> str | None:
    """Why the model in this folder cannot be trained; None if it can. Imports transformers: for the child process."""
    from transformers import AutoConfig, AutoTokenizer
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    from services.trainer.data import DataError, check_mask, encode, end_tokens

    if not any(folder.glob("*.safetensors")):
        return f"{folder} holds no *.safetensors weights"
    try:
        kind = AutoConfig.from_pretrained(folder).model_type
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        return f"its config or tokenizer does not load: {error}"
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return f"`{kind}` is not a causal language model that transformers knows"
    if tokenizer.chat_template is None:
        return "its tokenizer has no chat template: take an instruct model, or add one to its folder"
    try:
        ends = end_tokens(tokenizer, None)
        check_mask(tokenizer, PROBE, encode(tokenizer, PROBE, ends), ends)
    except DataError as error:
        return str(error)
    return None


if __name__ == "__main__":
    if found := problem_of(Path(sys.argv[1])):
        print(found)
        sys.exit(REFUSED)
