"""One tailer per gateway reads the ledger's new events and hands them to everybody who listens."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import DBAPIError

from shared.ledger.database import Ledger
from shared.ledger.events import Event, last_cursor, read_events

log = structlog.get_logger()

POLL_SECONDS = 0.25
PAGE = 500
QUEUE = 1000
"""Events that wait for a slow listener; one that is further behind goes back to reading the ledger itself."""
ENDINGS = frozenset({"run.done", "run.failed", "run.rejected", "run.cancelled"})
"""A run's last event is one of these."""


@dataclass(eq=False)
class _Listener:
    run_id: str | None
    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    behind: bool = False

    def offer(self, event: Event | None) -> None:
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.behind = True


class Hub:
    """Fans events out. Everything happens in one event loop; only the ledger is read in threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._listeners: set[_Listener] = set()
        self._closing = asyncio.Event()
        self._tailer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Finds the end of the events, then follows them."""
        self._tailer = asyncio.create_task(self._tail(await asyncio.to_thread(last_cursor, self._ledger)))

    def close(self) -> None:
        """Ends all streams. To be called when the server begins to stop: it waits for open responses before anything else."""
        self._closing.set()
        for listener in self._listeners:
            listener.offer(None)

    async def stop(self) -> None:
        """Ends all streams and the tailer."""
        self.close()
        if self._tailer:
            await self._tailer

    async def _tail(self, cursor: str) -> None:
        while not self._closing.is_set():
            try:
                news = await asyncio.to_thread(read_events, self._ledger, cursor, None, PAGE)
            except DBAPIError as error:
                log.error("events: the ledger does not answer", error=str(error.orig))
                news = []
            for event in news:
                for listener in self._listeners:
                    if listener.run_id in (None, event.run_id):
                        listener.offer(event)
                cursor = event.cursor
            if len(news) < PAGE:
                await self._pause()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), POLL_SECONDS)
        except TimeoutError:
            return  # the usual end of a pause

    async def listen(self, after: str, run_id: str | None = None) -> AsyncIterator[Event]:
        """Events after a cursor, each once, in order, for ever; of one run, up to its last."""
        listener = _Listener(run_id)
        self._listeners.add(listener)  # before reading the ledger, so that nothing falls in between
        try:
            while not self._closing.is_set():
                listener.behind = False
                while page := await asyncio.to_thread(read_events, self._ledger, after, run_id, PAGE):
                    for event in page:
                        yield event
                        after = event.cursor
                        if run_id and event.type in ENDINGS:
                            return
                while not listener.behind:
                    news = await listener.queue.get()
                    if news is None:
                        return
                    if position(news.cursor) > position(after):
                        yield news
                        after = news.cursor
                        if run_id and news.type in ENDINGS:
                            return
        finally:
            self._listeners.discard(listener)


def position(cursor: str) -> tuple[int, int]:
    """A cursor's place in the order of events."""
    transaction, _, number = cursor.partition("-")
    return int(transaction), int(number)
