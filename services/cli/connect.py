"""The way to the gateway, and what its refusals become at the terminal: one clear message and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import httpx
import typer

from services.cli.terminal import FAILED, REFUSED, say
from shared.client import ApiError, Client, GatewayAway

PATIENCE_SECONDS = 10.0
"""How long a single command waits for a gateway that does not answer: long enough for a restart."""


@contextmanager
def gateway(patience: float | None = None) -> Iterator[Client]:
    """A client of the gateway that the environment names. Its errors end the command: 2 for what was refused, 1 for what failed.

    `patience`: seconds to wait for a gateway that does not answer; None: `PATIENCE_SECONDS`.
    """
    try:
        with Client(patience=PATIENCE_SECONDS if patience is None else patience) as client:
            yield client
    except httpx.InvalidURL as error:
        stop(f"LONGTHOUGHT_URL is no URL: {error}", REFUSED)
    except GatewayAway as error:
        stop(unreachable(error), FAILED)
    except ApiError as error:
        if error.status in (401, 403):
            hint = "Set LONGTHOUGHT_API_KEY, or `source DIR/client.env` of `longthought up --data DIR`."
            stop(f"The gateway does not take the API key: {error}.\n{hint}", REFUSED)
        stop(str(error), REFUSED if error.status < 500 else FAILED)


def unreachable(error: GatewayAway) -> str:
    """What to do about a gateway that does not answer."""
    cause = error.__cause__
    address = httpx_address(cause) or "the gateway"
    return (
        f"No answer from {address}: {cause}.\n"
        "Start it with `longthought up --data DIR`, then `source DIR/client.env`; or set LONGTHOUGHT_URL to where it is."
    )


def httpx_address(error: BaseException | None) -> str | None:
    """Scheme, host and port that a failed request went to."""
    if not isinstance(error, httpx.RequestError):
        return None
    try:
        url = error.request.url
    except RuntimeError:  # the request was never made
        return None
    return f"{url.scheme}://{url.netloc.decode()}"


def stop(message: str, code: int) -> NoReturn:
    """Says why, and ends the command."""
    say(message, error=True)
    raise typer.Exit(code)
