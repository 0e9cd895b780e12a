"""From draft to thought: by template, or by a model whose rewrite is thrown away if it lost something of the draft."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from services.compiler.checks import check
from services.compiler.template import template
from services.compiler.traverse import Piece, draft_text
from shared.contracts.base import Message
from shared.contracts.problem import Problem
from shared.contracts.stages import Refiner
from shared.contracts.thought import Span
from shared.engines.client import Choice, Endpoint, RequestRefused
from shared.prompts import render, version

PROMPT = "refine"


@dataclass(frozen=True)
class Refined:
    """A thought's spans and how they came to be."""

    spans: tuple[Span, ...]
    refiner: Literal["template", "llm", "template-fallback"]
    prompt: str | None = None
    model: str | None = None
    retries: int = 0
    """Rewrites that were rejected before this one."""


async def refine(problem: Problem, pieces: Sequence[Piece], how: Refiner, endpoint: Endpoint | None, rng: Random) -> Refined:
    """The draft as a thought. `endpoint` is the refiner's model, None for the template.

    A rewrite that fails its checks is asked for again with the findings in the prompt, `how.retries` times; then the template does
    it, as `template-fallback`. Raises EngineError if the model cannot be reached, GradingError.
    """
    by_template = Refined(template(pieces, rng), "template")
    if endpoint is None:
        return by_template
    findings: tuple[str, ...] = ()
    for attempt in range(how.retries + 1):
        prompt = render(PROMPT, question=problem.question, draft=draft_text(pieces), answer=problem.answer, findings=findings)
        try:
            completion = await endpoint.chat([Message(role="user", content=prompt)], sampling=how.sampling)
        except RequestRefused as error:
            if error.status != 400:  # a key that is refused, say, is not this draft's fault
                raise
            return replace(by_template, refiner="template-fallback", retries=attempt)
        text, findings = _rewritten(completion.choices[0])
        if not findings:
            checked = await check(pieces, text, problem.answer)
            if not checked.findings:
                return Refined(checked.spans, "llm", version(PROMPT), endpoint.uri, retries=attempt)
            findings = checked.findings
    return replace(by_template, refiner="template-fallback", retries=how.retries)


def _rewritten(choice: Choice) -> tuple[str, tuple[str, ...]]:
    """The rewrite, and what is wrong with it at first sight."""
    if choice.finish_reason != "stop":
        return choice.text, ("it was too long and was cut off: write less",)
    return choice.text.strip(), ()
