"""A process reward model on vLLM: how it is served, the checkpoint that vLLM can load.

vLLM's pooling API (`POST /pooling`, 0.32) with the task `token_classify` gives the classifier's logits at every token of every
sequence of one request. (Pooling type ALL; STEP would give them at the marks alone, but then vLLM reads no prompt in parts, and the
mark's id would have to be known when the server starts.) Its prefix cache is not read for this task
(`PoolingParams.skip_reading_prefix_cache`: a cached token has no output), so every round reads its paths from the start.

| format | checkpoint | becomes |
|---|---|---|
| `math-shepherd`, `rlhflow` | a causal language model | a classifier of two rows of its head (`classifier_from_token`) |
| `skywork` | `Qwen2ForPrmModel`: Qwen2 and `v_head`, which vLLM does not know | `Qwen2ForTokenClassification` with one label, converted once into the cache |
| `qwen2.5-math-prm` | `Qwen2ForProcessRewardModel` | what it is |
"""  # noqa: E501 (rows of a table)

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from shared.engines.errors import ModelMissing
from shared.engines.models import resolve_model
from shared.engines.pooled import TASK
from shared.engines.prm import FORMATS
from shared.settings import settings

SKYWORK_ARCHITECTURE = "Qwen2ForPrmModel"


def pooling_arguments(prm: str) -> list[str]:
    """What vLLM's command line needs, beside the model, to serve a process reward model of a format."""
    arguments = ["--runner", "pooling", "--pooler-config", json.dumps({"task": TASK, "tok_pooling_type": "ALL"})]
    overrides = FORMATS[prm].overrides
    return [*arguments, "--convert", "classify", "--hf-overrides", json.dumps(dict(overrides))] if overrides else arguments


def servable_model(model: str, prm: str = "") -> Path:
    """The folder of a model, fetched and, if vLLM cannot load it as it is, converted. Blocks. Raises ModelMissing."""
    folder = resolve_model(model)
    if prm != "skywork" or SKYWORK_ARCHITECTURE not in _config(folder).get("architectures", ()):
        return folder
    return _converted(model, folder)


def _config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found


def _converted(model: str, folder: Path) -> Path:
    """The converted checkpoint in the cache, made on the first call, by one process at a time."""
    files = sorted((one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in folder.iterdir() if one.is_file())
    digest = hashlib.sha256(json.dumps([str(folder), files]).encode()).hexdigest()[:32]
    cache = settings().cache_dir.expanduser() / "converted"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / digest
    with FileLock(cache / f"{digest}.lock"):
        if not target.is_dir():
            unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=cache))
            try:
                # in a process of its own: a worker never imports torch
                command = [sys.executable, "-m", "shared.engines.prm.convert", str(folder), str(unfinished)]
                environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
                child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if child.returncode:
                    raise ModelMissing(f"`{model}` could not be converted for vLLM: {child.stderr[-2000:].strip()}")
                unfinished.chmod(0o755)
                unfinished.rename(target)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)  # gone already if it was renamed
    return target
