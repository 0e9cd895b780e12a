"""HTTP to one OpenAI-compatible server: connections, time-outs, retries. Knows no model and no prompt."""

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import time
from typing import Any

import httpx

from shared.engines.circuit import Circuit
from shared.engines.errors import EndpointUnreachable, EngineDied, EngineError, RequestRefused
from shared.engines.limits import UNLIMITED, Limits, Rates

CONNECTIONS = 512
"""Requests in flight at once; more wait for a connection. An engine holds 256 sequences by default."""
KEEP_ALIVE_SECONDS = 3.0
"""Below the 5 s after which vLLM closes an idle connection, so that none is used as it closes."""
BUSY = frozenset({408, 429, 500, 502, 503, 504, 529})
"""Statuses that may pass: asked again after a wait."""
OVERLOADED = frozenset({429, 529})
"""Statuses that ask for fewer requests; others do if they come with a Retry-After."""
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Patience:
    """How long to ask again: at most `attempts` requests, and `busy_seconds` of waiting in between (`connect_seconds` while no
    connection can be made). Waits start at `first_wait` and double up to `longest_wait`, with jitter; a Retry-After goes first.
    """

    attempts: int = 8
    first_wait: float = 0.5
    longest_wait: float = 30.0
    busy_seconds: float = 180.0
    connect_seconds: float = 10.0
    answer_seconds: float = 900.0
    """A request that has had no answer for so long is given up, and not made again: it may have been charged."""


REMOTE = Patience()
LOCAL = Patience(attempts=4, first_wait=0.2, connect_seconds=3.0, answer_seconds=1800.0)


class Server:
    """One server. `post` returns its answer as JSON or raises an EngineError; the key is in no message."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        patience: Patience = REMOTE,
        is_local: bool = False,
        why_gone: Callable[[], str | None] = lambda: None,
        log_file: Path | None = None,
        rates: Rates = UNLIMITED,
    ) -> None:
        """`url` is the base URL, `/v1` included. `why_gone` tells why a local server is no more, or None while it lives.
        `log_file` gets every request, a line of JSON each.
        """
        self.url = url.rstrip("/")
        self.root = self.url.removesuffix("/v1")
        """Where vLLM's own routes are (`/health`, `/tokenize`)."""
        self.is_local = is_local
        self.died: str | None = None
        """Why no more can be had of a local server, once a request has found out."""
        self._key = key
        self._patience = patience
        self._why_gone = why_gone
        self._log_file = log_file
        self._limits = Limits(rates)
        self._circuit = Circuit(self.url)
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(patience.answer_seconds, connect=10.0, pool=None),
            limits=httpx.Limits(
                max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=KEEP_ALIVE_SECONDS
            ),
            trust_env=not is_local,  # a proxy of the environment is no way to the loopback
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self._http.aclose()

    async def post(
        self, address: str, body: dict[str, Any], once_more: Callable[[], Awaitable[None]] | None = None
    ) -> dict[str, Any]:
        """POSTs JSON to an address of this server (`url` or `root` and a path), patiently.

        `once_more` is awaited before a request is repeated that may have been charged.

        Raises EndpointUnreachable once the patience is spent (with the server's last words, if it had any), EndpointDown at once
        while its circuit is open, RequestRefused at once where asking again mends nothing, EngineDied of a local engine that is no
        more.
        """
        if self.is_local:
            return await self._patiently(address, body, once_more)
        self._circuit.check()
        try:
            answer = await self._patiently(address, body, once_more)
        except RequestRefused:
            self._circuit.answered()
            raise
        except EndpointUnreachable as error:
            self._circuit.given_up(str(error))
            raise
        except BaseException:
            self._circuit.let_go()
            raise
        self._circuit.answered()
        return answer

    async def _patiently(
        self, address: str, body: dict[str, Any], once_more: Callable[[], Awaitable[None]] | None
    ) -> dict[str, Any]:
        if self._log_file:
            with self._log_file.open("a") as log:
                log.write(json.dumps({"address": address, "body": body}) + "\n")
        waited = 0.0
        for attempt in range(1, self._patience.attempts + 1):
            problem, wait, budget = await (self._try if self.is_local else self._admitted)(address, body)
            if isinstance(problem, dict):
                return problem
            wait = (wait or 0.0) + self._backoff(attempt)  # never before the server's own time, nor all at that very time
            if attempt == self._patience.attempts or waited + wait > budget:
                self.died = str(problem) if isinstance(problem, EngineDied) else None
                raise _given_up(problem, attempt, wait)
            waited += wait
            await asyncio.sleep(wait)
            if once_more and problem.charged:
                await once_more()
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _admitted(self, address: str, body: dict[str, Any]) -> tuple[dict[str, Any] | EngineError, float | None, float]:
        """As `_try`, when the endpoint's limits allow it."""
        async with self._limits.admitted(body) as admission:
            tried = await self._try(address, body)
            if isinstance(tried[0], dict):
                admission.answered(tried[0])
            elif isinstance(tried[0], RequestRefused) and (tried[0].status in OVERLOADED or tried[1] is not None):
                # longer than anybody waits here, it is this request's end, not a pause for all
                admission.busy(tried[1] if tried[1] is not None and tried[1] <= self._patience.busy_seconds else None)
            return tried

    async def _try(self, address: str, body: dict[str, Any]) -> tuple[dict[str, Any] | EngineError, float | None, float]:
        """One attempt: (answer or passing problem, wait that the server asked for, seconds of waiting to spend on it)."""
        try:
            response = await self._http.post(address, json=body)
        except httpx.ReadTimeout as error:
            raise EndpointUnreachable(f"{address} gave no answer within {self._patience.answer_seconds:g} s") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise EndpointUnreachable(f"{address} is no address: {error}") from error
        except httpx.DecodingError as error:
            raise EndpointUnreachable(f"{address} answered with what cannot be decoded: {self.safe(str(error))}") from error
        except httpx.TransportError as error:
            message = f"{address} cannot be reached: {type(error).__name__}: {self.safe(str(error))}"
            if gone := self._why_gone():
                raise EngineDied(gone) from error
            problem: EngineError = (EngineDied if self.is_local else EndpointUnreachable)(message)
            problem.charged = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            return problem, None, self._patience.connect_seconds
        except RuntimeError as error:
            if not self._http.is_closed:
                raise
            raise EngineDied(self._why_gone() or f"{address}: its engine was stopped") from error
        if response.status_code < 400:
            return self._json(address, response), None, self._patience.connect_seconds
        refused = RequestRefused(response.status_code, f"{address}: {self.safe(_message(response))[:2000]}")
        if response.status_code not in BUSY:
            raise refused
        if self.is_local and response.status_code >= 500:
            await self._raise_if_sick()
            raise refused
        return refused, _retry_after(response), self._patience.busy_seconds

    async def _raise_if_sick(self) -> None:
        # vLLM answers 500 to all that were in flight when its core dies, and only then exits
        try:
            healthy = (await self._http.get(f"{self.root}/health")).status_code == 200
        except httpx.TransportError:
            healthy = False
        if not healthy:
            self.died = self._why_gone() or f"the engine at {self.url} is no longer healthy"
            raise EngineDied(self.died)

    def _json(self, address: str, response: httpx.Response) -> dict[str, Any] | EndpointUnreachable:
        """The answer's JSON object; a passing problem if it breaks off. By its body alone: some servers call JSON text."""
        answer = _parsed(response)
        if isinstance(answer, dict):
            return answer
        said = self.safe(response.text.strip())[:200]
        if answer is None and said.startswith("{"):
            broken = EndpointUnreachable(f"{address} answered with JSON that breaks off or is none: {said}")
            broken.charged = True
            return broken
        raise RequestRefused(
            response.status_code, f"{address} answered with something else than a JSON object; is it the base URL? It said: {said}"
        )

    def _backoff(self, attempt: int) -> float:
        wait = min(self._patience.longest_wait, self._patience.first_wait * 2.0 ** (attempt - 1))
        return wait * random.uniform(0.5, 1.0)

    def safe(self, text: str) -> str:
        """A server's words without the key, which some of them repeat. To be asked before the words are cut."""
        return text.replace(self._key, "***") if self._key else text


def _given_up(problem: EngineError, requests: int, wait: float) -> EngineError:
    """What is raised when the patience is spent. A server that kept refusing for being busy may well do it later."""
    if not isinstance(problem, RequestRefused):
        return problem
    return EndpointUnreachable(f"{problem}; given up after {requests} requests (the next would have waited {wait:.1f} s)")


def _parsed(response: httpx.Response) -> Any:
    """The body's JSON; None where it is none."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _message(response: httpx.Response) -> str:
    """The server's own words: `{"error": {"message": ...}}`, `{"message": ...}`, `{"detail": ...}` or the bare text."""
    body = _parsed(response)
    if body is None:
        return response.text.strip() or response.reason_phrase
    if isinstance(body, dict):
        error = body.get("error", body)
        found = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        return str(found or body)
    return str(body)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date), or None."""
    value = response.headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(value)) if _NUMBER.fullmatch(value) else max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, OverflowError):  # RFC 9110 10.2.3 knows these two forms; whatever else it says is not for us
        return None
