"""Forms: a model of another role (a critic, a judge) is asked for JSON of a form, until its answer can be read.

A local engine is held to the form while it writes. Other models may answer with anything: such an answer is counted, and the model
is shown its own words and what was wrong with them, because asking the same at temperature 0 brings the same.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from shared import prompts
from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.engines.client import Choice, Endpoint, Form

AGAIN = "form_again"
REASON_CHARACTERS = 300
SHOWN = 500
"""Characters of an unreadable answer that an error shows."""


class Finding(BaseModel):
    """What is asked for holds a reason, and first of all, so that the rest follows from it."""

    reason: str


F = TypeVar("F", bound=Finding)
Check = Callable[[F], str | None]
"""What is wrong with an answer of the right form, in words; None if nothing is."""


class Count(Protocol):
    """Counts what asking takes."""

    def __call__(self, what: str, number: int = 1) -> None: ...


class Unreadable(ValueError):
    """A model's answer that is not of the form it was asked for, however often it was asked; holds its words."""


def form(fields: dict[str, Any], limited: bool) -> Form:
    """JSON of a `reason` and `fields` (name -> JSON schema), all required, nothing besides.

    `limited`: the reason ends in time. A model that is held to the form could otherwise go on with it until it is cut; hosted
    servers refuse a schema that says so.
    """
    reason = {"type": "string"} | ({"maxLength": REASON_CHARACTERS} if limited else {})
    kinds = {"reason": reason, **fields}
    return Form(schema={"type": "object", "properties": kinds, "required": list(kinds), "additionalProperties": False})


async def ask_form(
    endpoint: Endpoint,
    question: str,
    fields: dict[str, Any],
    kind: type[F],
    *,
    about: str,
    sampling: Sampling,
    tries: int,
    count: Count,
    check: Check[F] = lambda finding: None,
    who: str = "critic",
) -> F:
    """The answer to `question`: a reason and `fields`, as a `kind`. `who` and `about` say in an error who was asked about what.

    Counts `reward_tokens` and `format_errors`. Raises Unreadable after `tries` answers that could not be read; EngineError.
    """
    turns = [Message(role="user", content=question)]
    wanted = form(fields, limited=endpoint.guides)
    words = wrong = ""
    for _ in range(tries):
        done = await endpoint.chat(turns, sampling=sampling, form=wanted)
        count("reward_tokens", done.prompt_tokens + done.completion_tokens)
        [choice] = done.choices
        words = choice.text
        try:
            return read(choice, kind, check)
        except Unreadable as error:
            count("format_errors")
            wrong = str(error)
        if words.strip():  # some endpoints refuse an empty turn
            again = Message(role="user", content=prompts.render(AGAIN, wrong=wrong))
            turns = [turns[0], Message(role="assistant", content=words), again]
    raise Unreadable(
        f"{who} {endpoint.uri}: asked {tries} times about {about}, it gave no answer that can be read ({wrong}); "
        f"it said at last: {words[:SHOWN]!r}"
    )


def read(choice: Choice, kind: type[F], check: Check[F] = lambda finding: None) -> F:
    """The finding in an answer; white space and a Markdown fence around it do no harm. Raises Unreadable."""
    if choice.finish_reason == "length":
        raise Unreadable("it was cut by the token limit before it ended")
    text = choice.text.strip()
    if text.startswith("```"):
        text = text.removeprefix("```").removeprefix("json").removesuffix("```").strip()
    try:
        finding = kind.model_validate_json(text)
    except ValidationError as error:
        raise Unreadable("; ".join(": ".join([*map(str, one["loc"]), one["msg"]]) for one in error.errors())) from None
    wrong = check(finding) if finding.reason.strip() else "reason: it is empty"
    if wrong:
        raise Unreadable(wrong)
    return finding
