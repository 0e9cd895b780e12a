"""Votes weighed by a process reward model: every line of a response is scored, and the scores become the weight of its vote.

The lines are what a search takes for steps and what reward models are trained on (`shared/engines/prm/steps.py`); the text alone is
scored, as it states the answer that is voted for, and not what a reasoning model put apart.

| a response | its scoring |
|---|---|
| scored | a score a line, and the weight |
| longer than the model's window, refused as such (HTTP 400), or without a line | an error: counted and shown, and no vote |

Anything else fails the item in words: another number of scores than of lines, a score that is no number, a model that is away.
"""

import asyncio
from collections.abc import Sequence

from services.evaluator.judging import TOO_MUCH
from shared.contracts.grading import LETTERS
from shared.contracts.problem import Problem
from shared.contracts.rewards import Aggregate, Scoring
from shared.contracts.thought import Response
from shared.engines.client import Endpoint, RequestRefused
from shared.engines.prm.scorer import Scorer
from shared.engines.prm.steps import aggregated, steps_of


class Weigher:
    """A process reward model that weighs responses, within one work item."""

    def __init__(self, endpoint: Endpoint, aggregate: Aggregate) -> None:
        self.uri = endpoint.uri
        self._endpoint = endpoint
        self._aggregate = aggregate

    async def weigh(self, problem: Problem, samples: Sequence[Response]) -> list[Response]:
        """Samples of one problem with their scoring; one request each, so that what is wrong with one touches no other.

        Raises NoScore, EngineError.
        """
        scorer = Scorer(self._endpoint)
        question = question_of(problem)
        found = await asyncio.gather(*(self._scoring(scorer, question, sample.text) for sample in samples))
        return [sample.model_copy(update={"scoring": one}) for sample, one in zip(samples, found, strict=True)]

    async def _scoring(self, scorer: Scorer, question: str, text: str) -> Scoring:
        steps = steps_of(text)
        if not steps:
            return self._unscored("it has no line that could be scored")
        try:
            [path] = await scorer.score(question, [steps])
        except RequestRefused as refused:
            if refused.status != TOO_MUCH:
                raise
            return self._unscored(f"{self.uri} refused to score it: {refused}")
        if path.scores is None:
            return self._unscored(f"{path.tokens} tokens are more than the {self._endpoint.window} that {self.uri} reads")
        return scoring_of(path.scores, self._aggregate, self.uri)

    def _unscored(self, why: str) -> Scoring:
        return Scoring(model=self.uri, aggregate=self._aggregate, error=why)


def scoring_of(scores: Sequence[float], aggregate: Aggregate, model: str) -> Scoring:
    """Scores, of which there is at least one, with the weight that they come to."""
    weight = aggregated(aggregate, scores)
    if weight == 0 < min(scores):  # hundreds of small factors: floating point ends at 1e-324, and a 0 would be no vote
        error = f"the {aggregate} of its {len(scores)} scores is too small for a number, though none of them is 0"
        return Scoring(model=model, scores=tuple(scores), aggregate=aggregate, error=error)
    return Scoring(model=model, scores=tuple(scores), aggregate=aggregate, weight=weight)


def reweighed(sample: Response, aggregate: Aggregate | None) -> Response:
    """A sample with another weight, made of the scores that it has; None, or nothing scored: as it is. No model is asked."""
    if aggregate is None or sample.scoring is None or not sample.scoring.scores:
        return sample
    return sample.model_copy(update={"scoring": scoring_of(sample.scoring.scores, aggregate, sample.scoring.model)})


def question_of(problem: Problem) -> str:
    """What the reward reads before the steps: the question, and the choices, without which their letters say nothing."""
    choices = (f"{letter}. {choice}" for letter, choice in zip(LETTERS, problem.choices, strict=False))
    return "\n".join([problem.question, *choices])
