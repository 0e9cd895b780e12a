"""The model card that goes with a checkpoint: what it is, where it came from, and how to load it."""

import importlib.metadata
import shutil
import subprocess
from pathlib import Path

from shared.contracts.recipe import Recipe
from shared.contracts.report import Checkpoint
from shared.contracts.stages import TrainStage

CARD = """---
library_name: {library}
pipeline_tag: {task}
tags: [longthought, {method}]
---
# {recipe} / {stage}

`{base}`, {what} {samples} {unit} (`{config}`) of stage `{data}`.

| | |
|---|---|
{rows}

```python
{loading}
```
"""
WHAT = {
    "sft": ("fine-tuned on", "samples", "nats per loss token"),
    "dpo": ("taught to prefer by", "pairs", "nats a pair"),
    "prm": ("taught to judge steps by", "labelled paths", "nats a step"),
    "grpo": ("taught from its own samples' verified answers on", "questions", "the policy's"),
}
"""Method -> what it did, of what, and the unit of its loss."""
WRITES = """from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("this folder")
model = AutoModelForCausalLM.from_pretrained("this folder")"""
JUDGES = """from transformers import AutoModelForTokenClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("this folder")
model = AutoModelForTokenClassification.from_pretrained("this folder")
# the chat up to the assistant's turn, then each step's ids and the id of a newline: the label stands there
ids = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False)
for step in steps:
    ids += tokenizer(step, add_special_tokens=False).input_ids + tokenizer("\\n", add_special_tokens=False).input_ids"""
ADAPTER = """from peft import {kind}
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("this folder")
model = {kind}.from_pretrained("this folder")  # over its base, which `adapter_config.json` names"""


def model_card(recipe: Recipe, stage: TrainStage, checkpoint: Checkpoint) -> str:
    """README.md of a checkpoint."""
    what, unit, loss = WHAT[stage.method]
    apart = stage.lora is not None and not stage.lora.merge
    return CARD.format(
        library="peft" if apart else "transformers",
        task="token-classification" if stage.method == "prm" else "text-generation",
        method=stage.method,
        recipe=recipe.name,
        stage=checkpoint.origin.stage,
        base=checkpoint.base,
        what=what,
        samples=checkpoint.samples,
        unit=unit,
        config=stage.config,
        data=stage.data,
        rows="\n".join(f"| {name} | {value} |" for name, value in _facts(recipe, stage, checkpoint, loss).items()),
        loading=ADAPTER.format(kind=_peft(stage)) if apart else JUDGES if stage.method == "prm" else WRITES,
    )


def _facts(recipe: Recipe, stage: TrainStage, checkpoint: Checkpoint, unit: str) -> dict[str, str]:
    origin = checkpoint.origin
    facts = {
        "run": f"`{origin.run_id}`, stage `{origin.stage}` of recipe `{recipe.name}`",
        "base": f"`{checkpoint.base}`",
        "prompt": f"`{origin.prompt}`",
        "weights trained": "all" if stage.lora is None else _adapter(stage),
        **{
            f"left out, {why}": f"{count} (or their counterparts of the other arm)"
            for why, count in {"being too long": checkpoint.too_long, "holding the end of a turn": checkpoint.unfit}.items()
            if count
        },
        "steps, epochs": f"{checkpoint.steps}, {checkpoint.epochs}",
        "batch size": f"{stage.batch_size}",
        "learning rate": f"{stage.learning_rate:g} (linear decay, AdamW on fp32 weights)",
        "tokens trained on": f"{checkpoint.train_tokens:,}",
        "loss at the end": f"{checkpoint.loss:.4f} ({unit})",
        "seed": f"{stage.seed}",
        "device, minutes": f"{checkpoint.device}, {checkpoint.seconds / 60:.1f}",
        "code": checkpoint.code,
    }
    if stage.beta is not None:
        facts["beta"] = f"{stage.beta:g}"
    if stage.method == "grpo":
        facts["rollouts"] = f"{stage.generations} a question, temperature {stage.rollout.temperature:g}"
    if not stage.learn_wrong_steps:
        facts["loss"] = "on the assistant's tokens, wrong steps apart"
    return facts


def _adapter(stage: TrainStage) -> str:
    assert stage.lora is not None
    lora = stage.lora
    fate = "merged into the base" if lora.merge else "kept apart"
    return f"an adapter of rank {lora.rank}, alpha {lora.alpha:g}{' over 4 bits' if lora.quantised else ''}, {fate}"


def _peft(stage: TrainStage) -> str:
    return "AutoPeftModelForTokenClassification" if stage.method == "prm" else "AutoPeftModelForCausalLM"


def code_version() -> str:
    """This system's version and, where it runs from a checkout, that one's commit: `-dirty` where files differ from it."""
    version = importlib.metadata.version("longthought")
    root = Path(__file__).parents[2]
    if not (root / ".git").exists() or (git := shutil.which("git")) is None:
        return version
    told = [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]
    found = subprocess.run(told, capture_output=True, text=True, check=False)
    return f"{version}+{found.stdout.strip()}" if found.returncode == 0 else version
