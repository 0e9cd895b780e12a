"""From draft to thought: by template, or by a model whose rewrite is thrown away if it lost or added something."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from rapidfuzz import fuzz

from services.compiler.checks import check, lost_or_added
from services.compiler.reflect import PROMPT as REFLECT
from services.compiler.reflect import reflected
from services.compiler.template import template
from services.compiler.traverse import Piece, draft_text
from shared.contracts.base import Message
from shared.contracts.problem import Problem
from shared.contracts.stages import Refiner
from shared.contracts.thought import Span
from shared.engines.client import Choice, Endpoint, RequestRefused
from shared.prompts import render, version

PROMPT = "refine"
UNCHANGED = 0.98
"""A rewrite more alike its draft than this (0 to 1, by edits) is none."""


@dataclass(frozen=True)
class Refined:
    """A thought's spans and how they came to be."""

    spans: tuple[Span, ...]
    refiner: Literal["template", "llm", "template-fallback"]
    pieces: tuple[Piece, ...]
    """The draft, missing reflections completed."""
    prompt: str | None = None
    """Of several, with spaces between."""
    model: str | None = None
    retries: int = 0
    """Rewrites that were rejected before this one."""
    reflections: int = 0
    """Reasons that the model gave where the draft had none."""
    findings: Counter[str] = field(default_factory=Counter)
    """What was wrong with rejected rewrites (or, which would be a fault of ours, with the template's own words) -> how often."""


async def refine(problem: Problem, pieces: Sequence[Piece], how: Refiner, endpoint: Endpoint | None, rng: Random) -> Refined:
    """The draft as a thought. `endpoint` is the refiner's model, None for the template.

    A rewrite that fails its checks is asked for again with the findings in the prompt, `how.retries` times; then the template does
    it, as `template-fallback`. Raises EngineError if the model cannot be reached, GradingError.
    """
    if endpoint is None:
        return await _by_template(problem, tuple(pieces), how, rng)
    given = 0
    if how.reflect:
        pieces, given = await reflected(problem, pieces, how, endpoint)
    words = await _by_template(problem, tuple(pieces), how, rng)
    if given:
        words = replace(words, prompt=version(REFLECT), model=endpoint.uri, reflections=given)
    findings: tuple[str, ...] = ()
    rejected: Counter[str] = Counter()
    for attempt in range(how.retries + 1):
        prompt = render(PROMPT, question=problem.question, draft=draft_text(pieces), answer=problem.answer, findings=findings)
        try:
            completion = await endpoint.chat([Message(role="user", content=prompt)], sampling=how.sampling)
        except RequestRefused as error:
            if error.status != 400:  # a key that is refused, say, is not this draft's fault
                raise
            return replace(words, refiner="template-fallback", retries=attempt, findings=rejected)
        text, findings = _rewritten(completion.choices[0], how, pieces, words.spans)
        if not findings:
            checked = await check(problem, pieces, text)
            if not checked.findings:
                used = " ".join(filter(None, [words.prompt, version(PROMPT)]))
                return replace(
                    words, spans=checked.spans, refiner="llm", prompt=used, model=endpoint.uri, retries=attempt, findings=rejected
                )
            findings = checked.findings
        rejected.update({finding.partition(":")[0] for finding in findings})
    return replace(words, refiner="template-fallback", retries=how.retries, findings=rejected)


async def _by_template(problem: Problem, pieces: tuple[Piece, ...], how: Refiner, rng: Random) -> Refined:
    """The template's words, which are checked as any others are; whose they are needs no alignment."""
    spans = template(pieces, rng, plain=how.wording == "plain")
    found = await lost_or_added(problem, pieces, [span.text for span in spans])
    findings = Counter(f"template: {finding.partition(':')[0]}" for finding in found)
    return Refined(spans, "template", pieces, findings=findings)


def _rewritten(choice: Choice, how: Refiner, pieces: Sequence[Piece], spans: Sequence[Span]) -> tuple[str, tuple[str, ...]]:
    """The rewrite, and what is wrong with it at first sight."""
    text = choice.text.strip()
    if choice.finish_reason != "stop":
        return text, ("cut off: it was too long: write less",)
    plain = "\n".join(piece.text for piece in pieces)
    share = len(text) / len(plain)
    if not how.min_length <= share <= how.max_length:
        do = "write more of it out" if share < how.min_length else "write less"
        return text, (f"its length: it is {share:.1f} times as long as the draft: {do}",)
    drafts = (draft_text(pieces), plain, "".join(span.text for span in spans))
    if any(fuzz.ratio(" ".join(text.split()), " ".join(draft.split())) / 100 > UNCHANGED for draft in drafts):
        return text, ("unchanged: it is the draft, hardly a word of it changed: rewrite it as a train of thought",)
    return text, ()
