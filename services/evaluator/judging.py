"""A judge: a language model that calls an answer right or wrong by a rubric, or scores it, with a reason in words.

It is asked for JSON, the reason first, so that the verdict follows from it. What cannot be read is asked for again, at most
JUDGE_RETRIES times. A verdict that still cannot be read is a grading error: counted and shown, never a wrong answer.
"""

from collections import Counter
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from shared.contracts.grading import NOT_ATTEMPTED, SCALED, VERDICTS, Judgement, Rubric, verdict_of
from shared.contracts.models import Sampling
from shared.contracts.problem import Problem
from shared.contracts.work import JUDGE_RETRIES
from shared.engines import forms
from shared.engines.client import Endpoint, RequestRefused
from shared.prompts import render, version

TOO_MUCH = 400
"""HTTP status of a request that a judge does not take as such: too long for its window, say, or against its publisher's rules."""


class Verdict(forms.Finding):
    """What a judge answers by a rubric of verdicts; which of them, `Judge._wrong` sees to."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verdict: str


class Scored(forms.Finding):
    """What a judge answers by a rubric of scores."""

    model_config = ConfigDict(extra="forbid", strict=True)

    score: Annotated[int, Field(ge=0, le=100)]


def prompt_of(rubric: Rubric) -> str:
    """The prompt's name."""
    return f"judge_{rubric}"


class Judge:
    """A model that judges, within one work item."""

    def __init__(self, endpoint: Endpoint, sampling: Sampling) -> None:
        self.uri = endpoint.uri
        self._endpoint = endpoint
        self._sampling = sampling

    async def judge(self, problem: Problem, response: str) -> tuple[Judgement, str | None]:
        """What the judge says of a response, and why it could not be told, if it could not. Raises EngineError.

        A request refused as such (400) is a grading error, too: the next attempt would be refused as well.
        """
        grading = problem.grading
        rubric = grading.rubric
        assert rubric is not None, problem.id
        about = f"an answer to {problem.id}"
        question = render(
            prompt_of(rubric), question=problem.question, answer=problem.answer, criteria=grading.criteria, response=response
        )
        counts = Counter[str]()
        error = verdict = score = None
        reason = ""
        try:
            if rubric in SCALED:
                assert grading.pass_mark is not None, problem.id
                scored = await self._ask(question, self._score(), Scored, about, counts)
                score, reason = float(scored.score), scored.reason
                verdict = verdict_of(rubric, score, grading.pass_mark)
            else:
                fields = {"verdict": {"type": "string", "enum": list(VERDICTS[rubric])}}
                found = await self._ask(question, fields, Verdict, about, counts, lambda said: _wrong(said, rubric))
                verdict, reason = found.verdict, found.reason
        except forms.Unreadable as unreadable:
            error = str(unreadable)
        except RequestRefused as refused:
            if refused.status != TOO_MUCH:
                raise
            error = f"judge {self.uri} refused to judge {about}: {refused}"
        judgement = Judgement(
            rubric=rubric,
            verdict=verdict,
            score=score,
            pass_mark=grading.pass_mark,
            reason=" ".join(reason.split()),
            model=self.uri,
            prompt=version(prompt_of(rubric)),
            asked=min(counts["format_errors"], JUDGE_RETRIES) + 1,
        )
        return judgement, error

    def _score(self) -> dict[str, Any]:
        # hosted servers refuse a schema with bounds; a local engine is held to them
        bounds = {"minimum": 0, "maximum": 100} if self._endpoint.guides else {}
        return {"score": {"type": "integer", **bounds}}

    async def _ask(
        self,
        question: str,
        fields: dict[str, Any],
        kind: type[forms.F],
        about: str,
        counts: Counter[str],
        check: forms.Check[forms.F] = lambda finding: None,
    ) -> forms.F:
        def count(what: str, number: int = 1) -> None:
            counts[what] += number

        return await forms.ask_form(
            self._endpoint,
            question,
            fields,
            kind,
            about=about,
            sampling=self._sampling,
            tries=JUDGE_RETRIES + 1,
            count=count,
            check=check,
            who="judge",
        )


def _wrong(said: Verdict, rubric: Rubric) -> str | None:
    known = VERDICTS[rubric]
    return None if said.verdict in known else f"verdict: {said.verdict[:40]!r} is none of {', '.join(known)}"


def is_right(judgement: Judgement) -> bool:
    """Whether the judged answer counts as right."""
    return judgement.verdict == VERDICTS[judgement.rubric][0]


def attempted(judgement: Judgement) -> str | None:
    """The verdict, where there was anything to judge."""
    return None if judgement.verdict == NOT_ATTEMPTED else judgement.verdict
