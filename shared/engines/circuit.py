"""A circuit per endpoint: after several requests in a row were given up, nothing more is asked for a while; then one request tries.

Each request that is given up has been repeated for minutes already (transport.Patience). So an open circuit means an outage, in
which work waits without being failed, and the endpoint is spared.
"""

import time
from collections.abc import Callable

from shared.engines.errors import EndpointDown

OPEN_AFTER = 8
"""Requests given up in a row."""
FIRST_SECONDS, LONGEST_SECONDS = 30.0, 600.0
"""For so long it stays open at first, and at most: twice as long after each trial that failed."""


class Circuit:
    """Whether an endpoint may be asked."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._given_up = 0
        self._open_until: float | None = None
        self._seconds = FIRST_SECONDS
        self._trying = False
        self._why = ""

    def check(self) -> None:
        """Lets a request through, or raises EndpointDown. Once the endpoint may be tried, one of those that come goes through."""
        if self._open_until is None:
            return
        left = self._open_until - self._clock()
        if left > 0 or self._trying:
            raise EndpointDown(f"{self._name} is down, and is tried again in {max(left, 1.0):.0f} s: {self._why}", max(left, 1.0))
        self._trying = True

    def answered(self) -> None:
        """The endpoint is there, whatever it said."""
        self._given_up, self._open_until, self._trying, self._seconds = 0, None, False, FIRST_SECONDS

    def given_up(self, why: str) -> None:
        """A request was given up."""
        self._given_up += 1
        if self._given_up < OPEN_AFTER and not self._trying:
            return
        if self._open_until is not None and not self._trying:
            return  # it was out when the circuit opened
        if self._trying:
            self._seconds = min(LONGEST_SECONDS, self._seconds * 2)
        self._open_until, self._trying, self._why = self._clock() + self._seconds, False, why

    def let_go(self) -> None:
        """A trial ended without telling anything (it was cancelled): another may be made."""
        self._trying = False
