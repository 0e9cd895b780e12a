"""Where a training's metrics go beside the ledger: TensorBoard files always, others where this machine names them."""

import importlib.util
import os

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
