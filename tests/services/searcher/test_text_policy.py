"""A policy on an engine that takes only text: its path is the rendered prompt and the steps' own words, byte for byte."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.searcher.policy import ContextFull, TextPolicy, policy_of
from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.contracts.problem import Problem
from shared.engines.client import Choice, Completion, RequestRefused

SAMPLING = Sampling(max_tokens=32)


@dataclass(frozen=True)
class Step:
    text: str
    token_ids: tuple[int, ...] = ()


@dataclass
class TextEndpoint:
    """Answers from a script: prompt's end -> texts; keeps what it was asked."""

    script: dict[str, list[tuple[str, str]]]
    prompts: list[str] = field(default_factory=list)
    local, takes_ids, guides, uri = True, False, False, "text"

    async def render_chat(self, messages: Sequence[Message]) -> str:
        return f"<user>{messages[-1].content}<assistant>"

    async def complete(self, prompt: str, *, n: int, **asked: Any) -> Completion:
        assert isinstance(prompt, str)
        self.prompts.append(prompt)
        said = next(answers for end, answers in self.script.items() if prompt.endswith(end))
        choices = [Choice(text, (), reason) for text, reason in said[:n]]
        return Completion(tuple(choices), len(prompt), sum(len(text) for text, _ in said[:n]))


async def test_children_share_the_prefix_byte_for_byte() -> None:
    endpoint = TextEndpoint({"<assistant>": [("a = 1\n", "stop"), (" b\n", "stop")], "a = 1\n": [("c\n", "stop")]})
    problem = Problem(id="p", question="q", answer="1")
    policy = await policy_of(endpoint, problem)  # type: ignore[arg-type]
    assert isinstance(policy, TextPolicy)
    sampled = await policy.steps([], 2, SAMPLING)
    assert [(one.text, one.end, one.tokens) for one in sampled] == [("a = 1\n", "line", 6), (" b\n", "line", 3)]
    await policy.steps([Step("a = 1")], 1, SAMPLING)
    await policy.rollouts([Step("a = 1")], 1, SAMPLING)
    first, second, third = endpoint.prompts
    assert second == third == first + "a = 1\n"
    assert policy.spent["requests"] == 3


@pytest.mark.parametrize(
    ("said", "reason", "end"),
    [("x\n", "stop", "line"), ("x", "stop", "text"), ("x", "length", "cut"), ("x\n", "length", "line"), ("", "stop", "text")],
)
async def test_how_a_step_ended(said: str, reason: str, end: str) -> None:
    policy = TextPolicy(TextEndpoint({"p": [(said, reason)]}), "p")  # type: ignore[arg-type]
    [one] = await policy.steps([], 1, SAMPLING)
    assert (one.text, one.end) == (said, end)


async def test_what_follows_a_blank_line_is_the_step() -> None:
    endpoint = TextEndpoint({"p": [("\n", "stop"), ("a\n", "stop"), ("\n", "stop")], "p\n": [("b\n", "stop"), ("c\n", "stop")]})
    policy = TextPolicy(endpoint, "p")  # type: ignore[arg-type]
    assert sorted(one.text for one in await policy.steps([], 3, SAMPLING)) == ["a\n", "b\n", "c\n"]
    assert endpoint.prompts == ["p", "p\n"]
    assert policy.spent["completion_tokens"] == 4 + 4  # blank lines are paid for, too


async def test_a_full_context() -> None:
    class Full(TextEndpoint):
        async def complete(self, prompt: str, *, n: int, **asked: Any) -> Completion:
            raise RequestRefused(400, "maximum context length is 512 tokens; 600 of the prompt")

    with pytest.raises(ContextFull):
        await TextPolicy(Full({}), "p").steps([], 1, SAMPLING)  # type: ignore[arg-type]
