"""Where models' files are found, and what is said when they are not."""

from pathlib import Path

import fsspec
import pytest

from shared.engines import quickstart
from shared.engines.errors import ModelMissing
from shared.engines.models import resolve_model
from shared.settings import Settings


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch) -> None:
    settings = Settings(cache_dir=tmp_path / "cache")
    for module in ("downloads", "quickstart"):
        monkeypatch.setattr(f"shared.engines.{module}.settings", lambda: settings)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def saved(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_folder(tmp_path, form):
    folder = saved(tmp_path / "checkpoint")
    assert resolve_model(form.format(folder)) == folder


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_folder_that_holds_no_model(tmp_path, form):
    with pytest.raises(ModelMissing, match=r"without config\.json"):
        resolve_model(form.format(tmp_path))


@pytest.mark.parametrize("name", ["smollm", "/no/such/folder", "file:///no/such/folder", "a b/c", "~/no-such-folder"])
def test_a_name_that_is_nothing(name):
    with pytest.raises(ModelMissing, match=f"no model `{name}`: bundled is `smollm2-135m-instruct`"):
        resolve_model(name)


def test_a_hub_id_that_cannot_be_had():
    with pytest.raises(ModelMissing, match=r"no model `nobody/nothing`: .* the hub did not give it .* give a folder or a URL"):
        resolve_model("nobody/nothing")


def test_a_url_is_downloaded_once(tmp_path):
    memory = fsspec.filesystem("memory")
    memory.pipe({"/runs/1/model/config.json": b"{}", "/runs/1/model/sub/file": b"x"})
    folder = resolve_model("memory://runs/1/model")
    assert (folder / "sub" / "file").read_bytes() == b"x"
    memory.rm("/runs", recursive=True)
    assert resolve_model("memory://runs/1/model") == folder


def test_urls_that_hold_no_model():
    fsspec.filesystem("memory").pipe("/other/file", b"x")
    with pytest.raises(ModelMissing, match=r"config\.json"):
        resolve_model("memory://other")
    with pytest.raises(ModelMissing, match=r"memory://nothing.* could not be downloaded"):
        resolve_model("memory://nothing")
    with pytest.raises(ModelMissing, match=r"nosuch://x.* could not be downloaded"):
        resolve_model("nosuch://x")


def test_a_conversion_that_fails_leaves_nothing(tmp_path, monkeypatch):
    models = tmp_path / "cache" / "models"
    (models / f".{quickstart.NAME}-killed").mkdir(parents=True)  # what a killed one left
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "tokenizers").mkdir()
    (tmp_path / "tokenizers" / "__init__.py").write_text("raise ImportError('no tokenizers')")
    with pytest.raises(ModelMissing, match=r"(?s)could not be made from .*no tokenizers"):
        resolve_model(quickstart.NAME)
    assert [path.name for path in models.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("safe", [True, False])
def test_weights_are_fetched_in_the_one_form_that_there_is(tmp_path, monkeypatch, safe):
    folder, asked = saved(tmp_path / "snapshot"), []

    def snapshot(name: str, **patterns: object) -> str:
        asked.append({key: value for key, value in patterns.items() if key.endswith("patterns")})
        (folder / ("model.safetensors" if safe else "nothing.txt")).touch()
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert resolve_model("org/model") == folder
    assert len(asked) == (1 if safe else 2)
    assert asked[1:] == ([] if safe else [{"allow_patterns": ["pytorch_model*.bin"]}])
