"""What endpoints ask for: the ledger, a caller with a valid key, a run that exists; and cursors."""

import base64
import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Row

from services.gateway.errors import BadRequest, NotFound, Unauthorised
from shared.ledger.database import Ledger
from shared.ledger.keys import key_name
from shared.ledger.runs import get_run

_bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer lt-...`")
_header = APIKeyHeader(name="X-API-Key", auto_error=False)


def _ledger(request: Request) -> Ledger:
    ledger: Ledger = request.app.state.ledger
    return ledger


LedgerOf = Annotated[Ledger, Depends(_ledger)]


def require_key(
    ledger: LedgerOf,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> str:
    """The name of the key that a request came with. Raises Unauthorised."""
    key = bearer.credentials if bearer else header
    if not key:
        detail = "send `Authorization: Bearer KEY` or `X-API-Key: KEY`"
    elif name := key_name(ledger, key):
        return name
    else:
        detail = "the API key is not known, or was revoked"
    raise Unauthorised(detail, headers={"WWW-Authenticate": "Bearer"})


Caller = Annotated[str, Depends(require_key)]
"""Name of the key that the request came with."""

PLAIN = r"^[^\x00]*$"
"""PostgreSQL takes no NUL in text."""


def _run(ledger: LedgerOf, run_id: Annotated[str, Path(max_length=300, pattern=PLAIN)]) -> Row[Any]:
    run = get_run(ledger, run_id)
    if run is None:
        raise NotFound(f"there is no run `{run_id}`")
    return run


RunOf = Annotated[Row[Any], Depends(_run)]
"""The run that the path names."""

Limit = Annotated[int, Query(ge=1, le=500, description="Rows of a page")]
Text = Annotated[str | None, Query(max_length=300, pattern=PLAIN)]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next` of the page before")]


def make_cursor(*place: str | int | float) -> str:
    """An opaque cursor that says where a page ended."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, *kinds: type) -> Any:
    """The place that `make_cursor` was given, as a tuple of these types; None without a cursor. Raises BadRequest."""
    if cursor is None:
        return None
    try:
        place = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except ValueError:
        place = None
    if not isinstance(place, list) or [type(part) for part in place] != list(kinds) or not _storable(place):
        raise BadRequest("cursor: not one that this endpoint gave out")
    return tuple(place)


def _storable(place: Sequence[Any]) -> bool:
    return all(abs(part) < 2**63 if isinstance(part, int | float) else "\0" not in part for part in place)
