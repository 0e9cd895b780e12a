"""Whether two checkpoints differ in nothing but the numbers in their weights, so that an engine can load one over the other."""

import json
import struct
from pathlib import Path
from typing import Any

IGNORED = {
    "config.json": {"_name_or_path", "transformers_version", "use_cache"},
    "generation_config.json": {"_from_model_config", "transformers_version"},
    "tokenizer_config.json": {"is_local", "local_files_only", "name_or_path"},
}
"""Keys that say where a file came from, or that no engine of ours reads."""
READ = {".json", ".jinja", ".model", ".py", ".txt"}
"""Suffixes of files beside the weights that an engine reads."""
INDEX = "model.safetensors.index.json"


def difference(one: Path, other: Path) -> str | None:
    """Why the weights of `other` cannot be loaded over those of `one`, in words; None if they can.

    Compared are config, tokenizer, chat template and code, and every tensor's name, shape and type. Only safetensors, unquantised.
    """
    files = _files(one)
    if names := files ^ _files(other):
        return f"only one of them has {', '.join(sorted(names))}"
    if "config.json" not in files:
        return "no config.json"
    for name in sorted(files):
        if _content(one / name) != _content(other / name):
            return f"{name} differs"
    if "quantization_config" in json.loads((one / "config.json").read_text()):
        return "their weights are quantised"
    tensors = _tensors(one)
    if not tensors:
        return "no safetensors"
    return None if tensors == _tensors(other) else "their tensors differ in name, shape or type"


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix in READ and path.name != INDEX}


def _content(path: Path) -> Any:
    if path.suffix != ".json":
        return path.read_bytes()
    content = json.loads(path.read_text())
    return {key: value for key, value in content.items() if key not in IGNORED.get(path.name, ())}


def _tensors(folder: Path) -> dict[str, Any]:
    """Name -> type and shape, from the headers (https://huggingface.co/docs/safetensors, Format)."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        found |= {name: (told["dtype"], told["shape"]) for name, told in header.items() if name != "__metadata__"}
    return found
