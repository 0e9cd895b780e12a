"""HTTP with patience: what the gateway's client sends is sent again while the gateway is away. Every request must bear that."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any, BinaryIO, TypeVar

import httpx

PAUSE_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
CHUNK = 2**18

Answer = TypeVar("Answer")


class ApiError(Exception):
    """The gateway refused a request. `errors` holds a refused recipe's places, or a refused problem set's lines."""

    def __init__(self, status: int, title: str, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(detail or title)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = errors or []


class GatewayAway(Exception):
    """The gateway did not answer for as long as it was waited for."""


class PatientHttp:
    """Requests to one gateway: ApiError is raised where it refuses, GatewayAway where it does not answer for `patience` seconds."""

    def __init__(self, url: str, headers: dict[str, str], patience: float, transport: httpx.BaseTransport | None) -> None:
        self.url = url
        self._patience = patience
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=httpx.Timeout(60, connect=5), transport=transport, trust_env=False
        )

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def once(self, path: str) -> httpx.Response:
        """GET without patience. Raises httpx.TransportError."""
        return self._http.get(path)

    def json(self, method: str, path: str, content: Callable[[], Any] | None = None, **options: Any) -> dict[str, Any]:
        """The answer's JSON; `content` gives the body anew for every try."""

        def send() -> dict[str, Any]:
            response = self._http.request(method, path, content=content() if content else None, **options)
            _raise(response)
            answer: dict[str, Any] = response.json()
            return answer

        return self._patiently(send)

    def delete(self, path: str) -> None:
        """DELETE, which a second try may find done."""
        tried = 0

        def send() -> None:
            nonlocal tried
            tried += 1
            response = self._http.delete(path)
            if response.status_code != 404 or tried == 1:  # a second try finds what the first one did before it was cut off
                _raise(response)

        self._patiently(send)

    def download(self, path: str, target: BinaryIO) -> None:
        """GET into a file, from its beginning at every try."""

        def send() -> None:
            target.seek(0)
            target.truncate()
            with self._http.stream("GET", path) as response:
                _raise(response)
                for chunk in response.iter_bytes(CHUNK):
                    target.write(chunk)

        self._patiently(send)

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """An answer whose body is still to be read."""

        def send() -> httpx.Response:
            response = self._http.send(self._http.build_request(method, path, **options), stream=True)
            _raise(response)
            return response

        response = self._patiently(send)
        try:
            yield response
        finally:
            response.close()

    def pages(self, path: str, name: str, filters: dict[str, str | None]) -> Iterator[dict[str, Any]]:
        """The list `name` of every page of an answer."""
        params = {key: value for key, value in filters.items() if value is not None}
        while True:
            page = self.json("GET", path, params=params)
            yield from page[name]
            if not page["next"]:
                return
            params["cursor"] = page["next"]

    def _patiently(self, send: Callable[[], Answer]) -> Answer:
        """Sends again while the gateway is away, unavailable, or at work on this very request."""
        give_up = time.monotonic() + self._patience
        for pause in chain(PAUSE_SECONDS, repeat(PAUSE_SECONDS[-1])):
            try:
                return send()
            except httpx.TransportError as error:
                problem: Exception = error
            except _ComeAgain as error:
                problem = error.refused
            if time.monotonic() + pause > give_up:
                if isinstance(problem, ApiError):
                    raise problem
                raise GatewayAway(
                    f"no answer from {self.url} for {self._patience:g} s ({problem}): is it running? `longthought up` starts it; "
                    "LONGTHOUGHT_URL says where it is"
                ) from problem
            time.sleep(pause)
        raise AssertionError("unreachable")


class _ComeAgain(Exception):
    """An answer that says: later."""

    def __init__(self, refused: ApiError) -> None:
        self.refused = refused


def _raise(response: httpx.Response) -> None:
    """Raises ApiError for an error, _ComeAgain for one that passes."""
    if response.status_code < 400:
        return
    response.read()
    try:
        body = response.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    title = body.get("title") or response.reason_phrase
    error = ApiError(response.status_code, title, body.get("detail") or title, body.get("errors"))
    if response.status_code == 503 or body.get("type") == "in-flight":
        raise _ComeAgain(error)
    raise error
