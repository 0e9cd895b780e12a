"""How fast and how many at once a hosted endpoint is asked, by one worker process.

Requests and tokens a minute are windows: in no sixty seconds do more go out. Tokens are counted before a request goes, by the most
that it may take, and set right when its usage is known. How many are out at once adapts, as TCP's congestion window does (AIMD): a
refusal for being busy halves it, a window full of answers raises it by one.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from shared.engines.errors import EngineError

MINUTE = 60.0
SLACK = 1e-6
MOST_AT_ONCE = 64
"""Requests out at once where the recipe says nothing."""
BYTES_A_TOKEN = 3
"""What a prompt is guessed to take; its usage sets the guess right."""


class TooLarge(EngineError):
    """A request that no minute has room for."""


@dataclass(frozen=True)
class Rates:
    """A model's limits, as its recipe has them; None: none."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrency: int | None = None


UNLIMITED = Rates()


class Window:
    """At most `most` of something in any minute."""

    def __init__(self, most: int, what: str) -> None:
        self.most = most
        self._what = what
        self._taken: deque[list[float]] = deque()
        """[when, how much], oldest first."""
        self._sum = 0.0

    def check(self, amount: float) -> None:
        """Raises TooLarge for what no minute has room for."""
        if amount > self.most:
            raise TooLarge(
                f"a request may take {amount:,.0f} {self._what}, and {self.most:,} a minute are allowed: lower max_tokens"
            )

    def wait(self, amount: float, now: float) -> float:
        """Seconds until there is room; 0 if there is."""
        while self._taken and self._taken[0][0] <= now - MINUTE:
            self._sum -= self._taken.popleft()[1]
        over, wait = self._sum + amount - self.most, 0.0
        for when, taken in self._taken:
            if over <= SLACK:
                break
            over -= taken
            wait = max(when + MINUTE - now, SLACK)
        return wait

    def take(self, amount: float, now: float) -> list[float]:
        """Takes some; returns the entry, whose amount `settle` may change."""
        entry = [now, amount]
        self._taken.append(entry)
        self._sum += amount
        return entry

    def settle(self, entry: list[float], amount: float) -> None:
        """Sets right what an entry took."""
        if self._taken and entry[0] >= self._taken[0][0]:  # else it has left the window
            self._sum += amount - entry[1]
        entry[1] = amount


class Limits:
    """The gate of one endpoint."""

    def __init__(
        self,
        rates: Rates = UNLIMITED,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.most = rates.max_concurrency or MOST_AT_ONCE
        self.at_once = float(self.most)
        """How many requests may be out now."""
        self.out = 0
        self._clock, self._sleep = clock, sleep
        self._requests = Window(rates.requests_per_minute, "requests") if rates.requests_per_minute else None
        self._tokens = Window(rates.tokens_per_minute, "tokens") if rates.tokens_per_minute else None
        self._quiet_until = 0.0
        self._halved_at = float("-inf")
        self._turn = asyncio.Lock()  # gives itself to those who wait in the order of their coming
        self._room = asyncio.Event()

    @asynccontextmanager
    async def admitted(self, body: dict[str, Any]) -> AsyncIterator["Admission"]:
        """Waits until a request may go out; it is out until the block is left. Raises TooLarge."""
        amount = most_tokens(body)
        if self._tokens:
            self._tokens.check(amount)
        async with self._turn:
            while True:
                now = self._clock()
                quiet = self._quiet_until - now
                windows = [window.wait(taken, now) for window, taken in ((self._requests, 1), (self._tokens, amount)) if window]
                if self.out >= max(1, int(self.at_once)):
                    self._room.clear()
                    await self._room.wait()
                elif (wait := max([quiet, *windows])) > 0:
                    await self._sleep(wait)
                else:
                    break
            if self._requests:
                self._requests.take(1, now)
            entry = self._tokens.take(amount, now) if self._tokens else None
            self.out += 1
        admission = Admission(self, entry, self._clock())
        try:
            yield admission
        finally:
            self.out -= 1
            self._room.set()

    def busy(self, since: float, retry_after: float | None) -> None:
        """A request sent at `since` was refused for being busy: all wait as long as the server says, and fewer go at once.

        Halved once for all that were out together: they were refused for one reason.
        """
        now = self._clock()
        self._quiet_until = max(self._quiet_until, now + (retry_after or 0.0))
        if since > self._halved_at:
            self.at_once, self._halved_at = max(1.0, self.at_once / 2), now

    def answered(self) -> None:
        """A request was answered: one more at once for each full window of these."""
        self.at_once = min(float(self.most), self.at_once + 1 / self.at_once)
        self._room.set()


class Admission:
    """A request that is out."""

    def __init__(self, limits: Limits, entry: list[float] | None, since: float) -> None:
        self._limits, self._entry, self._since = limits, entry, since

    def busy(self, retry_after: float | None) -> None:
        """It was refused for being busy."""
        self._limits.busy(self._since, retry_after)

    def answered(self, answer: dict[str, Any]) -> None:
        """It was answered, with the usage that the answer states."""
        self._limits.answered()
        usage = answer.get("usage")
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        if total is None and isinstance(usage, dict):
            parts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
            total = sum(part for part in parts if isinstance(part, int))
        if self._entry is not None and self._limits._tokens and isinstance(total, int) and total > 0:
            self._limits._tokens.settle(self._entry, float(total))


def most_tokens(body: dict[str, Any]) -> float:
    """What a request may take: its prompt, guessed by its length, and `max_tokens` for each choice."""
    turns = body.get("messages") or [{"content": body.get("prompt", "")}]
    prompt = sum(
        len(turn["content"].encode()) / BYTES_A_TOKEN if isinstance(turn["content"], str) else len(turn["content"])
        for turn in turns
    )
    return float(int(prompt) + int(body.get("max_tokens", 0)) * int(body.get("n", 1)))
