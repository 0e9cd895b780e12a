"""Skywork's process reward models as vLLM can load them: `python -m shared.engines.prm.convert FOLDER TARGET`.

Their checkpoint is that of a Qwen2 language model, and `v_head.summary.weight` and `.bias` beside it (a linear layer from hidden
size to 1; https://github.com/SkyworkAI/skywork-o1-prm-inference/blob/main/model_utils/prm_model.py, `ValueHead`). The same numbers
under other names are a `Qwen2ForTokenClassification` with one label. File by file, so that memory holds one of them.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD = {"v_head.summary.weight": "score.weight", "v_head.summary.bias": "score.bias"}
LEFT_OUT = "lm_head."
NOT_COPIED = (".bin", ".safetensors", ".index.json", ".py", ".md", ".pdf", ".png", ".jpg")


def convert(source: Path, target: Path) -> None:
    """Writes the token classifier's folder. Raises ValueError if the head is not in the checkpoint. Imports torch."""
    from safetensors.torch import save_file

    target.mkdir(parents=True, exist_ok=True)
    names: dict[str, str] = {}
    for number, tensors in enumerate(_files(source), start=1):
        file = f"model-{number:05}.safetensors"
        renamed = {HEAD.get(name, name): tensor for name, tensor in tensors.items() if not name.startswith(LEFT_OUT)}
        save_file({name: tensor.contiguous() for name, tensor in renamed.items()}, target / file, metadata={"format": "pt"})
        names |= dict.fromkeys(renamed, file)
    if missing := set(HEAD.values()) - set(names):
        raise ValueError(f"{source} has no value head: {', '.join(sorted(missing))} (v_head.summary) not found among its tensors")
    (target / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    config: dict[str, Any] = json.loads((source / "config.json").read_text())
    config.pop("auto_map", None)  # code of the checkpoint, which is not needed now
    config |= {"architectures": ["Qwen2ForTokenClassification"], "id2label": {"0": "value"}, "label2id": {"value": 0}}
    (target / "config.json").write_text(json.dumps(config, indent=2))
    for path in source.iterdir():
        if path.is_file() and path.name != "config.json" and not path.name.endswith(NOT_COPIED):
            shutil.copy(path, target / path.name)


def _files(source: Path) -> Iterator[dict[str, Any]]:
    """The tensors of every weights file."""
    import torch
    from safetensors.torch import load_file

    if safe := sorted(source.glob("*.safetensors")):
        yield from (load_file(path) for path in safe)
    else:
        for path in sorted(source.glob("pytorch_model*.bin")):
            yield torch.load(path, map_location="cpu", weights_only=True, mmap=True)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
