"""The first item of every model or endpoint: proves, on the pool that will use it, that it resolves and answers."""

from shared.contracts.base import Message
from shared.contracts.recipe import Sampling
from shared.engines.client import EngineError
from shared.ledger.items import NewRecord, Result
from shared.work.context import Work
from shared.work.registry import Hopeless, handles

PROBE = Message(role="user", content="What is 1 + 1?")


@handles("preflight.answers")
async def answers(work: Work) -> Result:
    """Asks the model for a few tokens."""
    (role,) = work.payload.roles
    ref = work.payload.roles[role]
    try:
        endpoint = await work.endpoint(role)
        completion = await endpoint.chat([PROBE], sampling=Sampling(max_tokens=4))
    except EngineError as error:
        raise Hopeless(f"models.{ref.name}: {error}") from error
    body = {"model": ref.name, "engine": endpoint.engine, "tokens": completion.completion_tokens}
    return Result(records=[NewRecord("preflight", ref.name, body)], summary=body)
