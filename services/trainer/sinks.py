"""Where a training's metrics go beside the ledger: TensorBoard files always, others where this machine names them."""

import importlib.util
import os

from shared.settings import settings

PROJECT = "longthought"
"""What trainings are gathered under where they are shown, unless this machine says otherwise."""
ASKED = {"wandb": "WANDB_API_KEY", "mlflow": "MLFLOW_TRACKING_URI"}
"""Sink, which is its package's name, too -> the variable that asks for it."""


def sinks() -> list[str]:
    """For transformers' `report_to`."""
    return ["tensorboard", *(sink for sink, variable in ASKED.items() if os.environ.get(variable))]


def missing_sink() -> str | None:
    """What is asked for and cannot be had, in words; None if nothing is."""
    for sink in sinks():
        if importlib.util.find_spec(sink) is None:
            return f"{ASKED[sink]} is set, but the package `{sink}` is not installed here: install it, or unset the variable"
    return None


def places() -> dict[str, str]:
    """Variables that say where the sinks put things, for a training's environment; what this machine says of them comes first.

    Weights & Biases would write its files (offline, all that there is) into whatever folder the worker was started in.
    """
    cache = str(settings().cache_dir.expanduser())
    wanted = {"WANDB_PROJECT": PROJECT, "WANDB_DIR": cache, "MLFLOW_EXPERIMENT_NAME": PROJECT}
    return {variable: os.environ.get(variable, value) for variable, value in wanted.items()}
