"""One item's dealings with endpoints that cost: answers bought before are given again, and no request goes out that a run's spend
cap does not allow.

An answer is found again by what was asked, of whom, and, where it was sampled (temperature above 0), by which draw it is: the
item's seed (the same whenever the recipe is run), the item's round, and how often the item asked just this in that round. So a
finished recipe that is run again buys nothing, an item that was killed buys again only what was in flight, and another seed draws
anew.
"""

import asyncio
import hashlib
import json
from collections import Counter
from typing import Any

from shared.engines.errors import EngineError
from shared.ledger.answers import find_answer, keep_answer
from shared.ledger.database import Ledger
from shared.ledger.items import Lease
from shared.ledger.records import UsageRow, append_usage
from shared.ledger.spending import hold, pause_at_cap, settle

BYTES_AROUND = 64
"""Tokens that a template puts around a turn at most. A token has at least a byte, so a text's bytes bound its tokens."""


class SpendCapReached(EngineError):
    """The run's spend cap allows no further request: the run is paused, and nothing was asked."""


class _Purse:
    """The requests of one run that this process has out: who finds no room waits for one of them to come back."""

    def __init__(self) -> None:
        self.out = 0
        self.back = asyncio.Condition()


_purses: dict[tuple[int, str], _Purse] = {}


class Bank:
    """What an endpoint asks before it asks its server, and tells afterwards."""

    def __init__(self, ledger: Ledger, lease: Lease, scope: str, capped: bool, cached: bool = True) -> None:
        """`scope`: the item's seed. `capped`: whether the run has a spend cap. `cached`: whether answers are kept."""
        self.round = 0
        """Set by handlers that work in rounds: what is asked again in another round is another question."""
        self.anew = False
        """Whether everything is to be asked, though there be an answer."""
        self.cached = cached
        self._ledger, self._lease, self._scope, self._capped = ledger, lease, scope, capped
        self._asked: Counter[str] = Counter()

    def key(self, url: str, path: str, body: dict[str, Any]) -> str:
        """The digest under which the answer to this request is kept."""
        draw = None
        if body.get("temperature", 1.0) > 0:
            asked = json.dumps([url, path, body, self.round], sort_keys=True)
            draw = [self._scope, self.round, self._asked[asked]]
            self._asked[asked] += 1
        return hashlib.sha256(json.dumps([url, path, body, draw], sort_keys=True).encode()).hexdigest()

    async def find(self, key: str) -> dict[str, Any] | None:
        """An answer bought before."""
        if self.anew:
            return None
        return await asyncio.to_thread(find_answer, self._ledger, key)

    async def keep(self, key: str, answer: dict[str, Any]) -> None:
        """Keeps an answer. Before anybody sees it: what was seen must be found again."""
        await asyncio.to_thread(keep_answer, self._ledger, key, answer)

    async def hold(self, dollars: float) -> float:
        """Sets money aside for a request; returns how much. Raises SpendCapReached, and pauses the run, if there is no room.

        While requests of the run are out, whoever finds no room waits: most cost less than was set aside for them.
        """
        if not self._capped or dollars == 0:
            return 0.0
        purse = self._purse()
        async with purse.back:
            while not await asyncio.to_thread(hold, self._ledger, self._lease.run_id, dollars):
                if not purse.out:
                    await asyncio.to_thread(pause_at_cap, self._ledger, self._lease.run_id, dollars)
                    raise SpendCapReached(f"the spend cap of run {self._lease.run_id} allows no request of ${dollars:,.4f}")
                await purse.back.wait()
            purse.out += 1
        return dollars

    async def settle(self, held: float, row: UsageRow | None) -> None:
        """An answer's usage (None: the request was refused, and costs nothing), and the end of its hold."""
        if held:
            await asyncio.to_thread(settle, self._ledger, self._lease, held, row)
            await self._come_back()
        elif row is not None:
            await asyncio.to_thread(append_usage, self._ledger, self._lease, [row])

    async def lost(self, held: float) -> None:
        """A request whose end nobody saw: it may have been charged, so what was held for it stays held."""
        if held:
            await self._come_back()

    async def _come_back(self) -> None:
        purse = self._purse()
        async with purse.back:
            purse.out -= 1
            purse.back.notify_all()

    def _purse(self) -> _Purse:
        loop = id(asyncio.get_running_loop())
        return _purses.setdefault((loop, self._lease.run_id), _Purse())


def worst_case(body: dict[str, Any], prices: tuple[float, float]) -> float:
    """The most that a request can cost, in US dollars: `prices` for a million prompt and completion tokens."""
    if "input" in body:  # sequences to be scored
        return sum(map(len, body["input"])) * prices[0] / 1e6
    if "messages" in body:
        prompt = sum(len(turn["content"].encode()) + BYTES_AROUND for turn in body["messages"]) + BYTES_AROUND
    else:
        prompt = len(body["prompt"].encode()) + BYTES_AROUND if isinstance(body["prompt"], str) else len(body["prompt"])
    completion: int = body["max_tokens"] * body.get("n", 1)
    return (prompt * prices[0] + completion * prices[1]) / 1e6
