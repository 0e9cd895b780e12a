"""Whether an answer is the known one: exactly where numbers decide, else by computer algebra in processes that can be killed.

A comparison that hangs or crashes raises GradingError. It never counts as a wrong answer in silence.
"""

import asyncio
import atexit
import multiprocessing
import re
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from fractions import Fraction

from pebble import ProcessPool

from shared.answers import algebra
from shared.answers.canonical import canonical, is_number, is_words

MAX_WORKERS = 2
TIMEOUT_SECONDS = 5.0
"""For one comparison, from when a worker takes it up."""
MAX_REMEMBERED = 10_000
BROKEN_POOLS = 3
"""Pools that may break under one comparison."""
PATIENCE_SECONDS = 60.0
"""So long the workers may bring no verdict at all while one is waited for: then they are replaced."""
LOOK_SECONDS = 1.0
_SPACED_DIGITS = re.compile(r"\d \d")
_LISTED = re.compile(r"\d\s*,\s+\d")
_CLOCK = re.compile(r"\d{1,2}:\d{2}")
_PERCENT = re.compile(r"%|(?<![A-Za-z])per ?cent(?![A-Za-z])")
_BASED = re.compile(r"(?P<digits>-?\w+)_(?:\d|\{\d+\})")
"""A numeral with its base, as 204_5: algebra would drop the base."""


class GradingError(Exception):
    """An answer could not be graded: the comparison hung, crashed or failed. The answer is neither right nor wrong."""


async def verify(gold: str, answer: str) -> bool:
    """Whether `answer` means what `gold` means. The order matters: algebra may solve for `gold`'s form, not for `answer`'s.

    Safe from any coroutine or thread. Raises GradingError.
    """
    decided = decide(gold, answer)
    if decided is not None:
        return decided
    pair = canonical(gold), canonical(answer)
    known = _workers.recall(pair)
    if known is not None:
        return known
    try:
        right = await _compared(pair)
    except TimeoutError as error:
        raise GradingError(f"comparing {answer!r} with {gold!r} took more than {TIMEOUT_SECONDS} s") from error
    except Exception as error:
        raise GradingError(f"comparing {answer!r} with {gold!r} failed: {type(error).__name__}: {error}") from error
    _workers.remember(pair, right)
    return right


async def _compared(pair: tuple[str, str]) -> bool:
    """Algebra's verdict.

    When an idle worker dies (out of memory, say), pebble gives up all comparisons, or, if the dead one held the lock of their pipe,
    none is taken up any more. Either way they are made again, by new workers.
    """
    for _ in range(BROKEN_POOLS):
        pool, future = _workers.submit(pair)
        since, verdict = time.monotonic(), asyncio.wrap_future(future)
        try:
            while not (await asyncio.wait({verdict}, timeout=LOOK_SECONDS))[0]:
                if _workers.given_up(pool, since):
                    raise BrokenProcessPool(f"the worker processes brought no verdict for {PATIENCE_SECONDS} s")
            return verdict.result()
        except BrokenProcessPool as error:
            broken = error
        finally:
            verdict.cancel()
    raise broken


def decide(gold: str, answer: str) -> bool | None:
    """The verdict where no algebra is needed: equal forms, two numbers, or words. None where it is."""
    left, right = canonical(gold), canonical(answer)
    if is_number(left) and _LISTED.search(answer):
        return False  # 32, 349 is two numbers, and 32,349 is one
    if left == right:
        return True
    if _CLOCK.fullmatch(left) and _CLOCK.fullmatch(right):
        return False
    if is_number(left) and is_number(right):
        return _equal_as_percentage(gold, left, answer, right)
    if not right or is_words(left) or is_words(right) or _SPACED_DIGITS.search(f"{left}|{right}"):
        return False
    if (based := _BASED.fullmatch(left)) or _BASED.fullmatch(right):
        return based is not None and based["digits"] == right  # the base may be left to the question, as in "204" for 204_5
    return None


def _equal_as_percentage(gold: str, left: str, answer: str, right: str) -> bool:
    """50% = 0.5: one side, and only one, is a percentage of the other."""
    percents = [_PERCENT.search(side) is not None for side in (gold, answer)]
    if percents[0] == percents[1]:
        return False
    return Fraction(left) / (100 if percents[0] else 1) == Fraction(right) / (100 if percents[1] else 1)


class _Workers:
    """The worker processes: started at the first comparison that needs one, from whatever thread; stopped when Python exits.

    Spawned, not forked: the parent has threads. Pebble kills a worker that overruns and starts another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None
        self._known: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self._last = 0.0

    def submit(self, pair: tuple[str, str]) -> tuple[ProcessPool, "Future[bool]"]:
        with self._lock:
            if self._pool is None or not self._pool.active:
                self._start()
            assert self._pool is not None
            pool = self._pool
            future: Future[bool] = pool.schedule(algebra.equal, args=pair, timeout=TIMEOUT_SECONDS)
        future.add_done_callback(self._moved)
        return pool, future

    def given_up(self, pool: ProcessPool, since: float) -> bool:
        """Whether `pool`, waited for `since` then, is replaced: now, if it brought no verdict for too long."""
        with self._lock:
            if pool is self._pool and time.monotonic() - max(since, self._last) > PATIENCE_SECONDS:
                self._start()
            return pool is not self._pool

    def _moved(self, _: "Future[bool]") -> None:
        self._last = time.monotonic()

    def _start(self) -> None:
        if self._pool is None:
            atexit.register(self.stop)
        else:
            self._pool.stop()
            # its worker processes are ended by joining it; in a thread, because one that hangs takes its time
            threading.Thread(target=self._pool.join, daemon=True).start()
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(max_workers=MAX_WORKERS, initializer=algebra.prepare, context=context)

    def stop(self) -> None:
        """Ends the worker processes; the next comparison starts new ones."""
        with self._lock:
            if self._pool is not None:
                self._pool.stop()
                self._pool.join()

    def recall(self, pair: tuple[str, str]) -> bool | None:
        with self._lock:
            return self._known.get(pair)

    def remember(self, pair: tuple[str, str], right: bool) -> None:
        with self._lock:
            self._known[pair] = right
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)


_workers = _Workers()
