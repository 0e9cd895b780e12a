"""Kinds of reward: one file each, found by its name. A file has `build(stage) -> Judge`; adding a kind takes one file."""

from importlib import import_module

from services.searcher.growth import Judge
from shared.contracts.recipe import SearchStage


def reward(stage: SearchStage) -> Judge:
    """The judge that a stage asks for. Raises ModuleNotFoundError for a kind without a file."""
    judge: Judge = import_module(f"{__name__}.{stage.reward.kind}").build(stage)
    return judge
