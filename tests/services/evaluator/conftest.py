"""A run with one `evaluate` stage in a real ledger, and a fake endpoint at the network's edge."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.models import ModelSpec
from shared.contracts.recipe import Recipe
from shared.contracts.work import ModelRef, Payload, Slice
from shared.ledger.database import Ledger
from shared.ledger.items import NewItem, claim, item_name
from shared.ledger.opening import open_stage
from shared.ledger.problems import store_set
from shared.ledger.runs import NewStage, close_stage, create_run, move_run
from shared.ledger.tables import RunState, StageState
from shared.settings import settings
from shared.work.context import Work
from tests.services.evaluator.fakes import FakeEndpoint, Serving

RECIPE = Recipe.model_validate(
    {
        "name": "tiny",
        "models": {"base": {"model": "some/base"}, "tuned": {"model": "some/tuned"}},
        "problems": {"held": {"set": "sums", "skip": 1, "count": 3}},
        "stages": {"measure": {"kind": "evaluate", "models": ["base", "tuned"], "problems": "held", "samples": 2}},
    }
)


def problem(n: int) -> dict[str, Any]:
    subject = "odd" if n % 2 else "even"
    return {"id": f"p{n}", "question": f"What is {n} + 1?", "answer": str(n + 1), "subject": subject, "level": n}


@pytest.fixture
def ledger(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setenv("LONGTHOUGHT_ARTIFACTS_URL", f"file://{tmp_path}/artifacts")
    settings.cache_clear()
    store_set(ledger, "sums", [problem(n) for n in range(6)])
    yield ledger
    settings.cache_clear()


@pytest.fixture
def take(ledger: Ledger) -> Callable[..., Work]:
    """Makes the stage's items at the first call, as the conductor does, and claims one: `base`, `tuned` or `close`."""
    refs = {name: ModelRef(name=name, spec=ModelSpec(model=f"some/{name}")) for name in ("base", "tuned")}
    part = Slice(set="sums", skip=1, count=3)
    payloads = {name: Payload(roles={"policy": ref}, problems=part) for name, ref in refs.items()}
    payloads["close"] = Payload(roles=refs, close=True)
    items = [NewItem(key=key, service="evaluator", payload=payload.model_dump(mode="json")) for key, payload in payloads.items()]
    run = create_run(ledger, "tiny", RECIPE.model_dump(mode="json"), [NewStage("measure", "evaluate", ())])[0]
    close_stage(ledger, run, "preflight", StageState.DONE)
    move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
    open_stage(ledger, run, "measure", items)

    def claimed(key: str, endpoint: FakeEndpoint | None = None) -> Work:
        lease = claim(ledger, item_name(run, "measure", key), "hands", 60)
        assert lease is not None
        serving: Any = Serving(endpoint or FakeEndpoint(lambda question, draw: AssertionError("no model may be asked here")))
        return Work(ledger, lease, RECIPE, serving, "hands")

    return claimed
