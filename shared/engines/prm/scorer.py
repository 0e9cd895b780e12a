"""Scorer: the steps of many paths scored by one process reward model, in one request."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from shared.engines.client import Endpoint
from shared.engines.errors import EngineError
from shared.engines.prm import FORMATS
from shared.engines.prm.marking import Marked, Tokens


class NoScore(ValueError):
    """Steps that cannot be scored, or scores that are none: says which, and of which model."""


@dataclass(frozen=True)
class Path:
    """What came of one path."""

    tokens: int
    scores: tuple[float, ...] | None
    """One a step; None: it has more tokens than the model's window, so nothing of it was read."""


class Scorer:
    """Asks one model. Keeps the token ids of what it was asked about: make one for each problem."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises EngineError for an endpoint that is no process reward model."""
        if endpoint.prm not in FORMATS:
            raise EngineError(f"{endpoint.uri} is no process reward model: give it `prm` in the recipe's models")
        self._endpoint = endpoint
        self._format = FORMATS[endpoint.prm]
        self._tokens = Tokens(endpoint)
        self.spent = 0
        """Tokens read by the model so far."""

    async def score(self, question: str, paths: Sequence[Sequence[str]]) -> list[Path]:
        """Scores of all steps of all paths, in order: one request, whatever their number.

        Raises NoScore for a blank step (it would be scored, and its score mean nothing), for another number of scores than of
        steps, and for a score that is not in [0, 1] (NaN); EngineError.
        """
        stripped = [[step.strip() for step in steps] for steps in paths]
        if any(not steps or not all(steps) for steps in stripped):
            raise NoScore(f"{self._named()}: a path without steps, or with a blank one, cannot be scored")
        marked = await self._marked(question.strip(), stripped)
        for one, steps in zip(marked, stripped, strict=True):
            self._check(len(one.positions), steps)
        window = self._endpoint.window
        fits = [window is None or len(one.ids) <= window for one in marked]
        answer = await self._endpoint.score([one.ids for one, fit in zip(marked, fits, strict=True) if fit])
        self.spent += answer.tokens
        outputs = iter(answer.outputs)
        found = []
        for one, steps, fit in zip(marked, stripped, fits, strict=True):
            scores = tuple(self._read(one, next(outputs))) if fit else None
            if scores is not None:
                self._check(len(scores), steps)
            found.append(Path(len(one.ids), scores))
        return found

    async def _marked(self, question: str, paths: Sequence[Sequence[str]]) -> list[Marked]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._format.mark(self._tokens, question, steps)) for steps in paths]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return [task.result() for task in tasks]

    def _read(self, marked: Marked, rows: Sequence[Sequence[float]]) -> list[float]:
        """The scores at the steps' marks, out of a row of logits for every token."""
        places = list(range(len(marked.ids)))
        if len(rows) != len(places):  # a server that gives them at the marks only (vLLM's pooling type STEP)
            places = [place for place in places if marked.ids[place] == marked.ids[-1]]
        if len(rows) != len(places):
            raise EngineError(f"{self._named()} gave outputs for {len(rows)} of {len(marked.ids)} tokens ({len(places)} marks)")
        by_place = dict(zip(places, rows, strict=True))
        scores = []
        for position in marked.positions:
            logits = by_place[position]
            if len(logits) != self._format.labels:
                raise EngineError(
                    f"{self._named()} gave {len(logits)} outputs for a token, where `prm: {self._format.name}` has "
                    f"{self._format.labels}: it is another kind of model, or served in another way"
                )
            score = self._format.read(logits)
            if math.isnan(score):
                raise NoScore(f"{self._named()} gave {list(logits)} for a step: no score")
            scores.append(score)
        return scores

    def _check(self, scores: int, steps: Sequence[str]) -> None:
        if scores != len(steps):
            raise NoScore(f"{self._named()}: {scores} scores for {len(steps)} steps: {steps!r}")

    def _named(self) -> str:
        return f"{self._endpoint.uri} (prm: {self._format.name})"
