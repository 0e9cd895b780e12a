"""What cannot be trained on or from: one message on the item at its first attempt, nothing registered, no files left."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.trainer import tasks
from shared.contracts.models import ModelSpec
from shared.contracts.recipe import Recipe
from shared.contracts.work import ModelRef, Payload
from shared.settings import settings
from shared.work.context import Work
from shared.work.registry import Hopeless
from tests.services.trainer.bench import Bench

slow = pytest.mark.timeout(600)  # processes that import torch: a minute when idle, several on a loaded machine
TEXTS = [f"The answer is {n}." for n in range(4)]
FAILS = "{{ raise_exception('roles must alternate') }}"


@pytest.fixture
def broken_model(tmp_path: Path, tiny_model: Path, make_tokenizer: Callable[..., Any]) -> Path:
    """The tiny model, its chat template one that fails."""
    folder = tmp_path / "broken"
    shutil.copytree(tiny_model, folder)
    make_tokenizer(lambda template: FAILS + template).save_pretrained(folder)
    return folder


async def dies(made: Bench, *words: str) -> None:
    """The item is dead after one attempt, for the reason given, and has left nothing."""
    item = await made.attempt()
    assert (item.state, item.attempts) == ("dead", 1), item.error
    assert all(word in item.error for word in words), item.error
    assert len(item.error) < 500 and "Traceback" not in item.error
    assert made.registered() == (0, None)
    assert not (made.folder / "train").exists()
    assert not list((settings().cache_dir / "training").glob("scratch.*"))


@pytest.mark.parametrize("texts", [[], [""] * 4], ids=["no sample", "no assistant's turn"])
async def test_data_without_an_assistants_turn(bench: Callable[..., Bench], tiny_model: Path, texts: Sequence[str]) -> None:
    await dies(bench(tiny_model, texts), "stages.teach: nothing to train on", "`data`", "0 usable `example` records")


@slow
async def test_samples_that_are_all_too_long(bench: Callable[..., Bench], tiny_model: Path) -> None:
    made = bench(tiny_model, TEXTS, max_length=20)
    await dies(made, "max_length 20 is too short for all 4 samples: the shortest has 139 tokens", "raise max_length")


@slow
async def test_a_length_that_the_model_has_no_positions_for(bench: Callable[..., Bench], tiny_model: Path) -> None:
    made = bench(tiny_model, TEXTS, max_length=4096)
    await dies(made, "max_length 4096 is more than the model's context of 2048 tokens", "set max_length to 2048 or less")


@slow
async def test_a_chat_template_that_fails(bench: Callable[..., Bench], broken_model: Path) -> None:
    await dies(bench(broken_model, TEXTS), "sample p000: the chat template fails: TemplateError: roles must alternate")


def preflight(base: Path, **training: Any) -> Work:
    """The item that asks whether `base` can be trained."""
    stages = {
        "data": {"kind": "import", "problems": "p"},
        "first": {"kind": "train", "base": "base", "data": "data"},
        "second": {"kind": "train", "base": "first", "data": "data", **training},
    }
    head = {"name": "tiny", "models": {"base": {"model": str(base)}}, "problems": {"p": {"set": "p"}}}
    roles = {"base": ModelRef(name="base", spec=ModelSpec(model=str(base)))}
    recipe = Recipe.model_validate({**head, "stages": stages})
    return cast(Work, SimpleNamespace(recipe=recipe, payload=Payload(roles=roles, check="trainable")))


@slow
async def test_a_preflight_refuses_what_the_training_would(tiny_model: Path, broken_model: Path) -> None:
    with pytest.raises(Hopeless, match=r"broken cannot be trained: sample probe: the chat template fails: .* roles must alternate"):
        await tasks.trainable(preflight(broken_model))
    with pytest.raises(Hopeless, match=r"tiny cannot be trained: max_length 2049 is more than the model's context of 2048 tokens"):
        await tasks.trainable(preflight(tiny_model, max_length=2049))
    assert (await tasks.trainable(preflight(tiny_model, max_length=2048))).records
