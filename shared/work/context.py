"""Work: everything that a handler may ask for, and nothing else. Ledger calls leave the event loop through threads."""

import asyncio
import hashlib
from collections.abc import Iterator
from copy import copy
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Row

from shared.artifacts import item_folder
from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from shared.contracts.recipe import PREFLIGHT, Recipe
from shared.contracts.work import Payload
from shared.engines.bank import Bank
from shared.engines.client import Endpoint
from shared.engines.roles import Serving
from shared.ledger.database import Ledger
from shared.ledger.items import Lease, forgive, load_partials, report_progress, save_partial
from shared.ledger.problems import get_set, iterate_problems
from shared.ledger.records import iterate_records, record_keys, records_by_key, run_usage
from shared.ledger.runs import get_run, was_done_before
from shared.work.registry import Hopeless


class Work:
    """One claimed item, as its handler sees it."""

    def __init__(self, ledger: Ledger, lease: Lease, recipe: Recipe, serving: Serving, holder: str, capped: bool = False) -> None:
        """`capped`: whether the run has a spend cap by now, whatever its recipe says."""
        self.ledger = ledger
        self.lease = lease
        self.recipe = recipe
        self.payload = Payload.model_validate(lease.payload)
        self.stage: Any = recipe.stages.get(lease.stage)
        """The stage's configuration (SearchStage for `search` ...); None for the preflight."""
        self.holder = holder
        """The worker's name: holder of device locks."""
        self._serving = serving
        digest = hashlib.sha256(f"{recipe.seed}/{lease.stage}/{lease.key}".encode()).digest()
        self.seed = int.from_bytes(digest[:4])
        """Derived from the recipe's seed, the stage and the item: the same on every attempt, and on every run of the recipe."""
        self._bank = Bank(ledger, lease, digest.hex(), recipe.spend_cap is not None or capped)
        self._in_rounds = False

    @property
    def folder(self) -> str:
        """Artifact URL that this attempt may write under; counts only if the commit names it."""
        return item_folder(self.lease.run_id, self.lease.stage, self.lease.key, self.lease.fence)

    def origin(self, model: str | None = None, prompt: str | None = None) -> Origin:
        """Where this item's records come from."""
        return Origin(run_id=self.lease.run_id, stage=self.lease.stage, model=model, prompt=prompt, seed=self.seed)

    async def problems(self) -> list[Problem]:
        """The problems of the payload, in order. Raises Hopeless for one that is none."""
        part = self.payload.problems
        if part is None:
            return []
        if part.stage is not None:
            bodies = await self.records_by_key(part.stage, "problem", part.keys)
        else:
            bodies = await asyncio.to_thread(lambda: list(iterate_problems(self.ledger, part.set, part.skip, part.count)))
        return [_problem(body, part.set or f"stage {part.stage}") for body in bodies]

    async def source(self, name: str) -> list[Problem]:
        """All problems of a source of the recipe. Raises Hopeless for one that is none."""
        return await asyncio.to_thread(lambda: [_problem(body, f"problems.{name}") for body in self.stream_source(name)])

    def stream_source(self, name: str) -> Iterator[dict[str, Any]]:
        """Bodies of a source's problems (of a curation, those it began with), a page at a time: for a thread of its own."""
        asked = self.recipe.source_of(name)
        return iterate_problems(self.ledger, asked.stored_as, asked.first, asked.count)

    async def asked(self, name: str) -> tuple[str, int | None]:
        """What a stage's `problems` are called in reports, and how many they are (None: nothing tells any more)."""
        return await asyncio.to_thread(asked_by, self.ledger, self.lease.run_id, self.recipe, name)

    async def recipe_of(self, run_id: str) -> Recipe:
        """The recipe of another run. Raises Hopeless if there is no such run any more."""
        run = await asyncio.to_thread(get_run, self.ledger, run_id)
        if run is None:
            raise Hopeless(f"run {run_id} is gone")
        return Recipe.model_validate(run.recipe)

    async def endpoint(self, role: str) -> Endpoint:
        """The model that plays a role, served and metered into the ledger. Raises KeyError for a role the item does not have."""
        ref = self.payload.roles[role]
        endpoint = await self._serving.endpoint(ref)
        bank = self._bank
        if not ref.spec.cache:
            bank = copy(bank)
            bank.cached = False
        elif self.lease.stage == PREFLIGHT:  # which asks whether the endpoint is there; a run that was done before needs none
            bank.anew = not await asyncio.to_thread(was_done_before, self.ledger, self.lease.run_id)
        return endpoint.metered(role, bank)

    def works_in_rounds(self) -> None:
        """Says that this item works in rounds, each saved before the next begins: what it asks in one is another question than the
        same words in another.
        """
        self._in_rounds = True

    async def records(self, stage: str, kind: str, run_id: str | None = None) -> list[dict[str, Any]]:
        """Bodies of a stage's published records of a kind, sorted by key; `run_id`: of another run."""
        run_id = run_id or self.lease.run_id
        return await asyncio.to_thread(lambda: list(iterate_records(self.ledger, run_id, stage, kind)))

    def stream(self, stage: str, kind: str) -> Iterator[dict[str, Any]]:
        """As `records`, a page at a time: for a thread of its own, and more records than memory holds."""
        return iterate_records(self.ledger, self.lease.run_id, stage, kind)

    def usage(self) -> list[Row[Any]]:
        """What the run has taken so far, by stage, role and model."""
        return run_usage(self.ledger, self.lease.run_id)

    async def records_by_key(self, stage: str, kind: str, keys: tuple[str, ...], run_id: str | None = None) -> list[dict[str, Any]]:
        """Bodies of the published records with these keys (at most 1,000), sorted by key; `run_id`: of another run."""
        return await asyncio.to_thread(records_by_key, self.ledger, run_id or self.lease.run_id, stage, kind, keys)

    async def save(self, seq: int, body: dict[str, Any]) -> None:
        """Saves work of the unfinished item under a sequence number of its own. Raises LeaseLost.

        A round that is saved is one that the item lived through, and forgives its losses before it (`lasts`). Parts that are done
        beside each other forgive nothing: another of them may be what kills the engine.
        """
        await asyncio.to_thread(save_partial, self.ledger, self.lease, seq, body, self._in_rounds)
        self._count_rounds(1)

    async def saved(self) -> list[dict[str, Any]]:
        """What earlier attempts (or this one) saved, in order."""
        found = await asyncio.to_thread(load_partials, self.ledger, self.lease.item_id)
        self._count_rounds(len(found) - self._bank.round)
        return found

    def _count_rounds(self, more: int) -> None:
        if self._in_rounds:
            self._bank.round += more

    async def lasts(self) -> None:
        """Says that what the item did so far outlives this worker, by other means than the `save` of a round: that its workers
        died before is no sign any more that it kills them. Raises LeaseLost.
        """
        await asyncio.to_thread(forgive, self.ledger, self.lease)

    async def progress(self, figures: dict[str, Any]) -> None:
        """Shows how far the item is, in the run's status and as an event. Raises LeaseLost."""
        await asyncio.to_thread(report_progress, self.ledger, self.lease, figures)


def _problem(body: dict[str, Any], where: str) -> Problem:
    """A stored problem; an upload refuses what is none, but rows may have come in another way, or before a rule did."""
    try:
        return Problem.model_validate(body)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in error.errors())
        raise Hopeless(f"problem {body.get('id')} of {where} cannot be used: {wrong}. Delete the set and add it anew") from error


def asked_by(ledger: Ledger, run_id: str, recipe: Recipe, name: str) -> tuple[str, int | None]:
    """What a stage's `problems` are called in a run's reports, and how many they are (None: nothing tells any more)."""
    source = recipe.source_of(name)
    if name not in recipe.problems:
        return f"{source.stored_as} ({name})", len(record_keys(ledger, run_id, name, "problem"))
    stored = get_set(ledger, source.stored_as)
    return source.stored_as, source.asked(stored.size if stored else None)
