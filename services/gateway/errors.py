"""Errors as RFC 9457 problem details: one class per kind, and the handlers that turn every other error into one."""

from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_problem.error import Problem, StatusProblem
from fastapi_problem.handler import ExceptionHandler, add_exception_handler, new_exception_handler
from sqlalchemy.exc import DBAPIError

from shared.ledger.problems import SetExists, SetInUse, SetLost
from shared.ledger.runs import IdempotencyConflict, NotInState, SetMissing

log = structlog.get_logger()


class BadRequest(StatusProblem):
    """400."""

    status, title, type_ = 400, "The request makes no sense.", "bad-request"


class Unauthorised(StatusProblem):
    """401."""

    status, title, type_ = 401, "A valid API key is needed.", "unauthorised"


class NotFound(StatusProblem):
    """404."""

    status, title, type_ = 404, "There is no such thing.", "not-found"


class Conflict(StatusProblem):
    """409: what is there already does not allow it."""

    status, title, type_ = 409, "The state of things does not allow this.", "conflict"


class InFlight(StatusProblem):
    """409: the same idempotent request is being answered right now; ask again."""

    status, title, type_ = 409, "This request is being worked on already.", "in-flight"


class TooLarge(StatusProblem):
    """413."""

    status, title, type_ = 413, "The body is too large.", "too-large"


class Invalid(StatusProblem):
    """422: understood, but wrong; `errors` lists each place."""

    status, title, type_ = 422, "The content is not valid.", "invalid"


class InvalidRecipe(Invalid):
    """422: each of `errors` has `place` (as `stages.search.width`) and `message`."""

    title, type_ = "The recipe is not valid.", "invalid-recipe"


class InvalidProblems(Invalid):
    """422: each of `errors` has `line` and `message`; `total` counts those left out, too."""

    title, type_ = "The problem set is not valid.", "invalid-problems"


class InvalidScores(Invalid):
    """422: each of `errors` has `line` and `message`."""

    title, type_ = "The scores are not valid.", "invalid-scores"


class KeyReused(StatusProblem):
    """422: an idempotency key came with two different requests."""

    status, title, type_ = 422, "The Idempotency-Key belongs to another request.", "idempotency-key-reused"


class Unavailable(StatusProblem):
    """503: come again."""

    status, title, type_ = 503, "Not available for the moment.", "unavailable"


class Internal(StatusProblem):
    """500: a fault of ours. The log has it; the answer does not."""

    status, title, type_ = 500, "The gateway failed.", "internal"


class StreamEnded(Exception):
    """Nothing more will ever come on this event stream: 204, which tells an event source not to come back."""


LEDGER: dict[type[Exception], type[StatusProblem]] = {
    NotInState: Conflict,
    SetExists: Conflict,
    SetInUse: Conflict,
    SetLost: Conflict,
    SetMissing: Invalid,
    IdempotencyConflict: KeyReused,
}
"""What the ledger refuses, as problems."""


def add_handlers(app: FastAPI) -> None:
    """Makes every error of `app` a problem detail."""

    def refused(_: ExceptionHandler, __: Request, error: Exception) -> Problem:
        return LEDGER[type(error)](str(error))

    def away(_: ExceptionHandler, __: Request, error: DBAPIError) -> Problem:
        log.error("ledger failed", error=str(error.orig))
        return Unavailable("the ledger does not answer", headers={"Retry-After": "1"})

    def malformed(_: ExceptionHandler, __: Request, error: RequestValidationError) -> Problem:
        errors = [{"place": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in error.errors()]
        return Invalid("; ".join(f"{e['place']}: {e['message']}" for e in errors), errors=errors)

    def ended(request: Request, error: Exception) -> Response:
        return Response(status_code=204)

    handlers: dict[type[Exception], Any] = {**dict.fromkeys(LEDGER, refused), DBAPIError: away}
    handler = new_exception_handler(
        handlers=handlers,
        request_validation_handler=malformed,
        unhandled_wrappers={"default": _Hidden, "404": NotFound},
    )
    add_exception_handler(app, handler, generic_swagger_defaults=False)
    for kind in handlers:
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(StreamEnded, ended)


class _Hidden(Internal):
    """An unforeseen error: its words stay in the log."""

    def __init__(self, detail: str | None = None, **kw: Any) -> None:
        super().__init__("an unforeseen error; the gateway's log tells more", **kw)
