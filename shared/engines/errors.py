"""What can go wrong with a model: each says what was wrong, where, and what to do."""


class EngineError(Exception):
    """Any failure of a model, an endpoint or an engine."""

    charged = False
    """Whether a request may have been charged all the same: it had gone out, and its answer did not come back whole."""


class EndpointUnreachable(EngineError):
    """Nothing answers at an endpoint's address, or it kept refusing for being busy until the patience was spent."""


class EndpointDown(EndpointUnreachable):
    """An endpoint's circuit is open: nothing was asked, and it is tried again in `seconds`. No fault of who asked."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class RequestRefused(EngineError):
    """A server refused a request in a way that asking again does not mend (400, 401, 404 ...)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{message} (HTTP {status})")
        self.status = status
        self.message = message


class ModelMissing(EngineError):
    """No such model: names it and what to do."""


class EngineFailed(EngineError):
    """A local engine did not start; holds the last lines of its log."""


class EngineDied(EngineFailed):
    """A local engine died, or was stopped, under a request: no fault of the request, which may be made again."""
