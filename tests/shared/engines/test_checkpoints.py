"""Which checkpoints an engine may load over one another."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.engines.checkpoints import difference


def save(folder: Path, numbers: bytes = b"\0\0\0\0", **header: object) -> Path:
    """A folder as `save_pretrained` writes it, with one tensor of two bf16 numbers."""
    folder.mkdir()
    told = {"__metadata__": {"format": "pt"}, "w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4], **header}}
    content = json.dumps(told).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(content)) + content + numbers)
    (folder / "config.json").write_text('{"hidden_size": 2, "_name_or_path": "a"}')
    (folder / "tokenizer.json").write_text('{"vocab": {"a": 0}}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "README.md").write_text(f"# {folder.name}")
    return folder


def rewrite(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: None, None),
        (rewrite("config.json", '{"_name_or_path": "b", "hidden_size": 2, "transformers_version": "5.19.0"}'), None),
        (rewrite("config.json", '{"hidden_size": 4}'), "config.json differs"),
        (rewrite("tokenizer.json", '{"vocab": {"b": 0}}'), "tokenizer.json differs"),
        (rewrite("chat_template.jinja", "{{ messages }}\n"), "chat_template.jinja differs"),
        (rewrite("generation_config.json", "{}"), "only one of them has generation_config.json"),
        (rewrite("modeling_own.py", ""), "only one of them has modeling_own.py"),
        (lambda folder: (folder / "model.safetensors").unlink(), "tensors differ"),
    ],
)
def test_what_may_differ(tmp_path: Path, change: Callable[[Path], object], why: str | None) -> None:
    one, other = save(tmp_path / "one"), save(tmp_path / "other", b"\1\1\1\1")
    change(other)
    found = difference(one, other)
    assert found is None if why is None else why in str(found)


@pytest.mark.parametrize("header", [{"dtype": "F16"}, {"shape": [1, 2]}])
def test_tensors_of_other_types_or_shapes(tmp_path: Path, header: dict[str, object]) -> None:
    assert difference(save(tmp_path / "one"), save(tmp_path / "other", **header)) == "their tensors differ in name, shape or type"


def test_weights_in_several_files_or_one_are_the_same(tmp_path: Path) -> None:
    one, other = save(tmp_path / "one"), save(tmp_path / "other")
    shutil.move(other / "model.safetensors", other / "model-00001-of-00001.safetensors")
    (other / "model.safetensors.index.json").write_text("{}")
    assert difference(one, other) is None


def test_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    one, other = save(tmp_path / "one"), save(tmp_path / "other")
    for folder in (one, other):
        (folder / "config.json").write_text('{"quantization_config": {}}')
    assert difference(one, other) == "their weights are quantised"
    for folder in (one, other):
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").unlink()
    assert difference(one, other) == "no safetensors"
