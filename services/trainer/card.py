"""The model card that goes with a checkpoint: what it is, where it came from, and how to load it."""

from shared.contracts.recipe import Recipe
from shared.contracts.report import Checkpoint
from shared.contracts.stages import TrainStage

CARD = """---
library_name: transformers
pipeline_tag: text-generation
tags: [longthought, sft]
---
# {recipe} / {stage}

`{base}`, fine-tuned on {samples} samples ({config}) of stage `{data}`.

| | |
|---|---|
| run | `{run}`, stage `{stage}` of recipe `{recipe}` |
| base | `{base}` |
| data | configuration `{config}` of stage `{data}`, loss on the assistant's tokens only |
| prompt | `{prompt}` |
| steps, epochs | {steps}, {epochs} |
| batch size, learning rate | {batch_size} samples, {learning_rate:g} (linear decay, AdamW, bf16 weights with an fp32 master copy) |
| tokens trained on | {train_tokens} (prompt and completion) |
| loss at the end | {loss:.4f} nats per loss token |
| seed | {seed} |

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("this folder")
model = AutoModelForCausalLM.from_pretrained("this folder")
```
"""


def model_card(recipe: Recipe, stage: TrainStage, checkpoint: Checkpoint) -> str:
    """README.md of a checkpoint."""
    return CARD.format(
        recipe=recipe.name,
        run=checkpoint.origin.run_id,
        stage=checkpoint.origin.stage,
        prompt=checkpoint.origin.prompt,
        config=stage.config,
        data=stage.data,
        batch_size=stage.batch_size,
        learning_rate=stage.learning_rate,
        seed=stage.seed,
        **checkpoint.model_dump(include={"base", "samples", "steps", "epochs", "train_tokens", "loss"}),
    )
