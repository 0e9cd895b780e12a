"""What a server's answers hold: choices, texts, token counts, reasoning apart from text."""

import re
from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 10**12
"""No answer has more: a figure above is nonsense."""


@dataclass(frozen=True)
class Choice:
    """One sampled answer."""

    text: str
    token_ids: tuple[int, ...]
    """The sampled ids, end of sequence included; empty where the server does not tell. They may say more than the text: the last
    token before a stop string may reach beyond it ("\\n\\n" for the stop "\\n").
    """
    finish_reason: str
    """`stop`: ended by itself or at a stop string; `length`: cut. A server that tells none is refused: nothing else tells a whole
    answer from a cut one.
    """
    reasoning: str | None = None


@dataclass(frozen=True)
class Form:
    """What an answer must look like: one of `choices`, or JSON of a JSON `schema`.

    vLLM holds the model to it while it writes. An endpoint is told a schema (`response_format`), which it may not keep to, and no
    choices. So whoever asks for a form reads the answer with care.
    """

    choices: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None


@dataclass(frozen=True)
class Completion:
    """The answer to one prompt; the figures are the server's own, summed over the requests that it took.

    A server that tells no usage counts as 0 tokens; one that tells nonsense (negative, a text, NaN) is refused.
    """

    choices: tuple[Choice, ...]
    prompt_tokens: int
    completion_tokens: int
    each: tuple[int, ...] = ()
    """Output tokens of each choice, where every one took a request of its own; else empty."""


@dataclass(frozen=True)
class Pooled:
    """A process reward model's answer to some sequences."""

    outputs: tuple[list[list[float]], ...]
    """Sequence -> token -> logits, before any activation."""
    tokens: int
    """Read, as the server counts them."""


def usage_of(answer: dict[str, Any]) -> tuple[int, int, str | None]:
    """Prompt and completion tokens as the server counts them (what it leaves out: 0), and what of them is no count, in words."""
    usage = answer.get("usage") or {}
    if not isinstance(usage, dict):
        return 0, 0, f"usage {str(usage)[:100]!r}"
    counts, nonsense = [], None
    for name in ("prompt_tokens", "completion_tokens"):
        value = usage.get(name) or 0
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else -1
        sound = 0 <= number <= MOST_TOKENS and number == int(number)  # NaN is in no range
        counts.append(int(number) if sound else 0)
        if not sound:
            nonsense = f"usage.{name} {str(value)[:100]!r}"
    return counts[0], counts[1], nonsense


def completion_choice(choice: dict[str, Any]) -> Choice:
    """A choice as `/completions` has it. Raises ValueError, KeyError ... where it cannot be read."""
    return Choice(text_of(choice["text"], "text"), tuple(choice.get("token_ids") or ()), _finish(choice))


def chat_choice(choice: dict[str, Any]) -> Choice:
    """A choice as `/chat/completions` has it, its reasoning apart. Raises ValueError, KeyError ... where it cannot be read."""
    message = choice["message"]
    text = text_of(message.get("content") or "", "message.content")
    found = message.get("reasoning_content") or message.get("reasoning")
    reasoning: str | None = text_of(found, "message.reasoning") if found else None
    if not reasoning:
        reasoning, text = split_reasoning(text)
    return Choice(text, tuple(choice.get("token_ids") or ()), _finish(choice), reasoning)


def _finish(choice: dict[str, Any]) -> str:
    reason = choice.get("finish_reason")
    if not isinstance(reason, str) or not reason:
        raise ValueError("no finish_reason, without which a whole answer cannot be told from a cut one")
    return reason


def text_of(value: Any, name: str) -> str:
    """A text that UTF-8 can hold: half of a surrogate pair (a server that cut a character in two) becomes U+FFFD."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def split_reasoning(text: str) -> tuple[str | None, str]:
    """`<think>…</think>` and what follows it. The opening tag may be missing (a template gave it), and the closing one (a cut)."""
    before, closed, after = text.partition("</think>")
    opened = re.match(r"\s*<think>", before)
    if closed and (opened or "<think>" not in before):
        return before[opened.end() if opened else 0 :].strip(), after.strip()
    return (before[opened.end() :].strip(), "") if opened else (None, text)
