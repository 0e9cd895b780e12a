"""Kinds of reward: one file each, found by its name.

A file has `async def build(setting, ask) -> Judge`: `setting` is the stage's `reward` (or one part of a weighted one), `ask` tells
the endpoint that plays a role. A kind asks for the role `reward`, whichever place it has: a weighted one gives each of its parts
an `ask` of its own, in which `reward` means `reward.0`, `reward.1` ... Adding a kind takes one file, and its name in
`RewardPart.kind`.
"""

from collections.abc import Awaitable, Callable
from importlib import import_module

from services.searcher.candidates import Judge
from shared.contracts.rewards import RewardPart
from shared.engines.client import Endpoint

Ask = Callable[[str], Awaitable[Endpoint]]
"""From a role to the endpoint that plays it."""


async def reward(setting: RewardPart, ask: Ask) -> Judge:
    """The judge that a setting asks for. Raises ModuleNotFoundError for a kind without a file, EngineError."""
    judge: Judge = await import_module(f"{__name__}.{setting.kind}").build(setting, ask)
    return judge
