"""Search strategies: one file each, found by its name.

A file has `async def search(growth, stage)`: it grows `growth` with the primitives of `growth.py`, from wherever it stands (an
empty tree, or the rounds that an earlier attempt saved). Adding a strategy takes one file. One that says more to a model than the
problem names the prompts it fills in as `PROMPTS`.
"""

from collections.abc import Awaitable, Callable
from importlib import import_module

from services.searcher.growth import Growth
from shared.contracts.stages import SearchStage

Strategy = Callable[[Growth, SearchStage], Awaitable[None]]


def strategy(name: str) -> Strategy:
    """The strategy of a name. Raises ModuleNotFoundError for a name without a file."""
    search: Strategy = import_module(f"{__name__}.{name}").search
    return search


def prompts_of(name: str) -> tuple[str, ...]:
    """Names of the prompts whose words a strategy's trees depend on."""
    return "solve", *getattr(import_module(f"{__name__}.{name}"), "PROMPTS", ())
