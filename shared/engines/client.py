"""The one client for models: an Endpoint is one model of one OpenAI-compatible server, be it hosted, shared, or our own vLLM.

It meters every answer, fills up choices that a server left out, and sorts reasoning from text. No request carries a seed: one
kills vLLM 0.32's CPU engine, and hosted servers do not keep to theirs.
"""

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.engines.bank import Bank, SpendCapReached, worst_case
from shared.engines.completions import Choice, Completion, Form, Pooled, chat_choice, completion_choice, text_of, usage_of
from shared.engines.errors import (
    EndpointDown,
    EndpointUnreachable,
    EngineDied,
    EngineError,
    EngineFailed,
    ModelMissing,
    RequestRefused,
)
from shared.engines.pooled import TASK, pooled
from shared.engines.transport import Server
from shared.ledger.records import UsageRow

__all__ = [
    "Choice",
    "Completion",
    "Endpoint",
    "EndpointDown",
    "EndpointUnreachable",
    "EngineDied",
    "EngineError",
    "EngineFailed",
    "Form",
    "ModelMissing",
    "Pooled",
    "RequestRefused",
    "SpendCapReached",
]


class Endpoint:
    """One model of one OpenAI-compatible server. All methods raise EngineError."""

    def __init__(
        self,
        server: Server,
        model: str,
        *,
        uri: str,
        engine: str,
        price_per_million: tuple[float, float] = (0.0, 0.0),
        prm: str = "",
        plain: bool = False,
    ) -> None:
        """`plain`: a local server without vLLM's own ways (token ids, forms, several choices a request)."""
        self.model = model
        """The name sent in requests."""
        self.uri = uri
        """What is recorded as the model."""
        self.engine = engine
        """`vllm 0.32.0 (cpu)`, or the endpoint's URL."""
        self.local = server.is_local
        self.takes_ids = server.is_local and not plain
        """Whether prompts may be token ids, and answers come with theirs."""
        self.guides = server.is_local and not plain
        """Whether it holds a model to a Form while it writes."""
        self._plain = plain
        self.prm = prm
        """The format of a process reward model, which scores and does not write; '' for one that writes."""
        self.window: int | None = None
        """Tokens that the model takes at most, once `tokenize` or `tokenize_chat` has brought word of it."""
        self._server = server
        self._prices = price_per_million
        self._role = ""
        self._bank: Bank | None = None
        self._reports: set[asyncio.Task[None]] = set()

    def metered(self, role: str, bank: Bank) -> "Endpoint":
        """A copy that shares the connections, asks `bank` before its server, and tells it the tokens and cost of every answer."""
        other = copy(self)
        other._role, other._bank = role, bank
        return other

    async def complete(
        self,
        prompt: str | Sequence[int],
        *,
        n: int = 1,
        sampling: Sampling,
        stop: Sequence[str] = (),
        include_stop: bool = False,
        stop_ids: Sequence[int] = (),
        min_tokens: int = 0,
        form: Form | None = None,
    ) -> Completion:
        """Continues a text or a sequence of token ids (no template, no special tokens added to ids). Text is as sampled.

        `stop_ids`: tokens that end it, too. `min_tokens`: before so many, no stop string counts, and neither the end nor one of
        `stop_ids` is sampled. Both are vLLM's alone.
        """
        body: dict[str, Any] = {
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            **self._sampled(sampling, stop, form),
        }
        if include_stop:
            body["include_stop_str_in_output"] = True  # of vLLM and SGLang; others refuse it in words
        if stop_ids:
            body["stop_token_ids"] = list(stop_ids)
        if min_tokens:
            body["min_tokens"] = min_tokens
        return await self._sample("/completions", body, n, completion_choice)

    async def chat(
        self, messages: Sequence[Message], *, n: int = 1, sampling: Sampling, stop: Sequence[str] = (), form: Form | None = None
    ) -> Completion:
        """Answers a chat; what the model thinks in a field or tags of its own goes to `Choice.reasoning`."""
        body = {"messages": [message.model_dump() for message in messages], **self._sampled(sampling, stop, form)}
        return await self._sample("/chat/completions", body, n, chat_choice)

    async def render_chat(self, messages: Sequence[Message]) -> str:
        """A chat as the text that the model's template makes of it, generation prompt added. Where only text is taken.

        `complete` adds what the tokenizer puts before every text, so it is not in here.
        """
        answer = await self._server.post(f"{self._server.root}/render", {"messages": [one.model_dump() for one in messages]})
        return text_of(answer.get("text"), "text")

    async def tokenize_chat(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a chat rendered with the model's template, generation prompt added. Local engines and reward models only."""
        return await self._tokenize({"messages": [message.model_dump() for message in messages], "add_generation_prompt": True})

    async def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text, with or without the special tokens that go around one (BOS). Local engines and reward models only."""
        return await self._tokenize({"prompt": text, "add_special_tokens": special})

    async def score(self, inputs: Sequence[Sequence[int]]) -> Pooled:
        """What a process reward model says at each token of some sequences of token ids, in one request."""
        if not inputs:
            return Pooled((), 0)
        body = {"model": self.model, "input": [list(ids) for ids in inputs], "task": TASK, "use_activation": False}
        answer, held = await self._paid(f"{self._server.root}/pooling", body)
        tokens, _, nonsense = usage_of(answer)
        await self._report(tokens, 0, held)
        try:
            if nonsense:
                raise ValueError(nonsense)
            return Pooled(tuple(pooled(answer, len(inputs))), tokens)
        except ValueError as error:
            raise EngineError(f"{self.uri} at {self.engine} gave no scores, but {error}: {self._shown(answer)}") from error

    async def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids. Local engines only."""
        answer = await self._server.post(f"{self._server.root}/detokenize", {"model": self.model, "tokens": list(ids)})
        text = answer.get("prompt")
        if not isinstance(text, str):
            raise EngineError(f"{self.uri} at {self.engine} answered without a text: {self._shown(answer)}")
        return text

    async def line_breaks(self) -> dict[int, str]:
        """Every token whose text holds a newline, with that text. Local engines that take ids only (`vllm_lines`)."""
        answer = await self._server.post(f"{self._server.root}/line_breaks", {})
        return {int(token): text for token, text in answer["breaks"].items()}

    async def _tokenize(self, body: dict[str, Any]) -> list[int]:
        if not self.takes_ids and not self.prm:
            raise EngineError(
                f"{self.uri} at {self.engine}: only a local engine tells token ids, and only vLLM; name a model without `url` "
                "and with `engine: vllm` for this role"
            )
        answer = await self._server.post(f"{self._server.root}/tokenize", {"model": self.model, **body})
        tokens = answer.get("tokens")
        if not isinstance(tokens, list):
            raise EngineError(f"{self.uri} at {self.engine} answered without tokens: {self._shown(answer)}")
        window = answer.get("max_model_len")
        self.window = window if isinstance(window, int) else None
        return tokens

    def _sampled(self, sampling: Sampling, stop: Sequence[str], form: Form | None) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, **sampling.model_dump()}
        if stop:
            body["stop"] = list(stop)
        if self.takes_ids:
            body["return_token_ids"] = True
        if form and self.guides:
            body["structured_outputs"] = {"choice": list(form.choices)} if form.choices else {"json": form.schema}
        elif form and form.schema is not None and not self.local:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": form.schema},
            }
        return body

    async def _sample(self, path: str, body: dict[str, Any], n: int, read: Callable[[dict[str, Any]], Choice]) -> Completion:
        # a plain server is known to ignore n: one by one, then, at once; others may
        answers = [] if self._plain else [await self._request(path, body if n == 1 else {**body, "n": n})]
        missing = n - sum(len(answer["choices"]) for answer in answers)
        if missing > 0:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._request(path, body)) for _ in range(missing)]
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from failed
            answers += [task.result() for task in tasks]
        choices = [self._read(choice, read) for answer in answers for choice in answer["choices"]]
        usages = [usage_of(answer) for answer in answers]
        each = tuple(usage[1] for usage in usages) if len(answers) == len(choices) == n else ()
        return Completion(tuple(choices[:n]), sum(usage[0] for usage in usages), sum(usage[1] for usage in usages), each)

    async def _request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One metered request, with at least one choice in its answer; answered from the cache where that has it."""
        cache = self._bank if self._bank and self._bank.cached and not self.local else None
        key = cache.key(self._server.url, path, body) if cache else ""
        if cache and (known := await cache.find(key)):
            await self._report(0, 0, 0.0, cached=1)
            return known
        answer, held = await self._paid(f"{self._server.url}{path}", body)
        prompt_tokens, completion_tokens, nonsense = usage_of(answer)
        await self._report(prompt_tokens, completion_tokens, held)  # first: whatever the answer is worth, it was paid for
        if nonsense:
            raise EngineError(f"{self.uri} at {self.engine} answered with {nonsense}, which cannot be counted")
        if not isinstance(answer.get("choices"), list) or not answer["choices"]:
            raise EngineError(f"{self.uri} at {self.engine} answered without choices: {self._shown(answer)}")
        if cache:
            await cache.keep(key, answer)
        return answer

    async def _paid(self, address: str, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """The server's answer, and what is held for it. Raises SpendCapReached, EngineError."""
        if self._bank is None:
            return await self._server.post(address, body), 0.0
        bank, worst = self._bank, worst_case(body, self._prices)
        held = await bank.hold(worst)

        async def once_more() -> None:
            """The last attempt may have been charged, and the next one may be, too."""
            nonlocal held
            await bank.lost(held)
            held = 0.0
            held = await bank.hold(worst)

        try:
            return await self._server.post(address, body, once_more), held
        except RequestRefused:
            await bank.settle(held, None)
            raise
        except BaseException:
            await bank.lost(held)
            raise

    def _read(self, choice: Any, read: Callable[[dict[str, Any]], Choice]) -> Choice:
        try:
            return read(choice)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise EngineError(
                f"{self.uri} at {self.engine} answered with a choice that cannot be read ({problem}): {self._shown(choice)}"
            ) from error

    def _shown(self, answer: Any) -> str:
        """An answer in an error's words."""
        return self._server.safe(str(answer))[:500]

    async def _report(self, prompt_tokens: int, completion_tokens: int, held: float, cached: int = 0) -> None:
        if self._bank is None:
            return
        cost = (prompt_tokens * self._prices[0] + completion_tokens * self._prices[1]) / 1e6
        row = UsageRow(self._role, self.uri, 1 - cached, prompt_tokens, completion_tokens, cost, cached)
        # shielded: the tokens are paid for, whether or not the caller is cancelled now
        task = asyncio.create_task(self._bank.settle(held, row))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)
        await asyncio.shield(task)
