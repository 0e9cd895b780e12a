"""The first item of every model or endpoint: proves, on the pool that will use it, that it resolves and answers."""

from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.engines.client import Endpoint, EngineError
from shared.engines.prm.scorer import NoScore, Scorer
from shared.ledger.items import NewRecord, Result
from shared.work.context import Work
from shared.work.registry import Hopeless, handles

PROBE = Message(role="user", content="What is 1 + 1?")


@handles("preflight.answers")
async def answers(work: Work) -> Result:
    """Asks the model for a few tokens; a process reward model for scores of two steps."""
    (role,) = work.payload.roles
    ref = work.payload.roles[role]
    try:
        endpoint = await work.endpoint(role)
        tokens = await _scores(endpoint) if ref.spec.prm else await _writes(endpoint)
    except (EngineError, NoScore) as error:
        raise Hopeless(f"models.{ref.name}: {error}") from error
    body = {"model": ref.name, "engine": endpoint.engine, "tokens": tokens}
    return Result(records=[NewRecord("preflight", ref.name, body)], summary=body)


async def _writes(endpoint: Endpoint) -> int:
    """Tokens that it wrote."""
    return (await endpoint.chat([PROBE], sampling=Sampling(max_tokens=4))).completion_tokens


async def _scores(endpoint: Endpoint) -> int:
    """Tokens that it read."""
    scorer = Scorer(endpoint)
    question, steps = PROBE.content, ["1 + 1 = 2.", "The answer is 2."]
    (path,) = await scorer.score(question, [steps])
    if path.scores is None:
        raise EngineError(f"its window of {endpoint.window} tokens holds no question: raise max_model_len")
    return scorer.spent
