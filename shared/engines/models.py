"""Where a model's files are: from what a recipe or a checkpoint calls it to a local folder that vLLM and transformers load."""

import re
import shutil
import tempfile
from pathlib import Path

from shared.artifacts import download_folder, folder_size, local_path
from shared.engines import quickstart
from shared.engines.downloads import UNFINISHED, lock_of, make_room, note_use, place_of
from shared.engines.errors import ModelMissing

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
UNUSED = ("*.bin", "*.pth", "*.gguf", "*.onnx", "*.h5", "*.msgpack", "original/*", "onnx/*")
"""Files of hub repositories that repeat the safetensors weights in other forms."""


def resolve_model(model: str) -> Path:
    """The folder of a model, fetched if need be: a bundled name, a folder, a URL of any fsspec file system, or a hub id.

    Raises ModelMissing. May take minutes and blocks: call it from a thread.
    """
    if model == quickstart.NAME:
        return quickstart.quickstart_model()
    if path := local_path(model):
        path = path.expanduser()
        if path.is_dir():
            return _checked(model, path)
        if model.startswith("file://") or path.is_absolute() or not HUB_ID.fullmatch(model):
            known = f"bundled is `{quickstart.NAME}`; else give a folder that exists, a URL, or a hub id as `org/name`"
            raise ModelMissing(f"no model `{model}`: {known}")
        return _from_hub(model)
    return _downloaded(model)


def _checked(model: str, folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise ModelMissing(f"`{model}` is a folder without config.json: give the folder that a model was saved to")
    return folder


def _downloaded(url: str) -> Path:
    """A copy in the cache. What lies under a checkpoint's URL never changes, so one that is there is right."""
    folder = place_of(url)
    cache = folder.parent
    cache.mkdir(parents=True, exist_ok=True)
    with lock_of(folder):
        if folder.is_dir():
            note_use(folder)
            return _checked(url, folder)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=cache) as unfinished:
            try:
                make_room(folder_size(url))
                download_folder(url, Path(unfinished) / "model")
            except (OSError, ValueError, ImportError) as error:  # ValueError, ImportError: a scheme that fsspec does not know here
                raise ModelMissing(f"`{url}` could not be downloaded: {type(error).__name__}: {error}") from error
            shutil.move(_checked(url, Path(unfinished) / "model"), folder)
            note_use(folder)
    return folder


def _from_hub(name: str) -> Path:
    """A hub repository's snapshot in the hub's own cache; without a network, what is cached already."""
    from huggingface_hub import snapshot_download  # not in every service's environment

    try:
        folder = Path(snapshot_download(name, etag_timeout=10, ignore_patterns=list(UNUSED)))
        if not any(folder.glob("*.safetensors")):  # an older repository: here the other form is the only one
            folder = Path(snapshot_download(name, etag_timeout=10, allow_patterns=["pytorch_model*.bin"]))
    except (OSError, ValueError) as error:  # the hub's own errors are OSErrors, and ValueError for a name it cannot be
        lines = str(error).strip().splitlines()
        raise ModelMissing(
            f"no model `{name}`: no folder of that name is here, and the hub did not give it "
            f"({lines[0] if lines else type(error).__name__}); check the name, the network and HF_TOKEN, or give a folder or a URL"
        ) from error
    return _checked(name, folder)
