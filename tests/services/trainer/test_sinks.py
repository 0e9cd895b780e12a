"""Where metrics go: what the machine asks for, and where that puts its things."""

from pathlib import Path

import pytest

from services.trainer.launch import environment
from services.trainer.sinks import missing_sink, sinks
from shared.settings import settings

VARIABLES = ("WANDB_API_KEY", "WANDB_PROJECT", "WANDB_DIR", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LONGTHOUGHT_CACHE_DIR", str(tmp_path))
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_a_sink_that_is_asked_for_and_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (sinks(), missing_sink()) == (["tensorboard"], None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert sinks() == ["tensorboard", "mlflow"]
    monkeypatch.setattr("services.trainer.sinks.importlib.util.find_spec", lambda name: None if name == "mlflow" else object())
    assert missing_sink() == (
        "MLFLOW_TRACKING_URI is set, but the package `mlflow` is not installed here: install it, or unset the variable"
    )


def test_sinks_keep_their_things_where_the_machine_says_else_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = environment()
    assert made["WANDB_PROJECT"] == made["MLFLOW_EXPERIMENT_NAME"] == "longthought"
    assert made["WANDB_DIR"] == str(tmp_path)
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    monkeypatch.setenv("WANDB_DIR", "/var/wandb")
    assert (environment()["WANDB_PROJECT"], environment()["WANDB_DIR"]) == ("ours", "/var/wandb")
