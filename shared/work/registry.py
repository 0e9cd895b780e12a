"""Handlers: the one coroutine that each kind of stage is worked by."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from shared.ledger.items import Result

if TYPE_CHECKING:
    from shared.work.context import Work

Handler = Callable[["Work"], Awaitable[Result]]
_handlers: dict[str, Handler] = {}


class Hopeless(Exception):
    """What no retry can mend: the item is dead at once, with this message as its error."""


def handles(kind: str) -> Callable[[Handler], Handler]:
    """Registers a coroutine as the handler of a stage's kind (`preflight.answers` and `preflight.trainable` for the two checks)."""

    def register(handler: Handler) -> Handler:
        if kind in _handlers:
            raise ValueError(f"two handlers for {kind!r}")
        _handlers[kind] = handler
        return handler

    return register


def handler_of(kind: str) -> Handler:
    """The handler of a kind. Raises Hopeless if this worker has none: it listens on a queue whose tasks it did not import."""
    if kind not in _handlers:
        raise Hopeless(f"this worker has no handler for {kind!r} (it has: {', '.join(sorted(_handlers)) or 'none'})")
    return _handlers[kind]
