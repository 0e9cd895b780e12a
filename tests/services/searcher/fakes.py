"""A fake endpoint, the network's edge: it plays scripted continuations, one token a character."""

from collections import Counter
from collections.abc import Callable, Sequence

from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.contracts.stages import SEARCH_PARAMETERS, SearchStage
from shared.engines.client import Choice, Completion, Endpoint, Form

EOS = "\0"
"""Ends a scripted text as the model itself would; a text without it is cut by the token limit."""
Script = Callable[[str, int, int], str]
"""What a model writes: (what it wrote so far, number of the request for this text, draw) -> what it goes on with."""


class FakeEndpoint:
    """Speaks `Endpoint`'s interface. A local one gives token ids: a character's code, as a rendered prompt "Q:...|"."""

    def __init__(self, script: Script, local: bool = True) -> None:
        self.model, self.uri, self.engine, self.local = "fake", "fake://model", "fake 1.0", local
        self.takes_ids = local
        self.guides = local
        self.requests: list[dict] = []
        self._script = script
        self._asked: Counter[str] = Counter()

    async def tokenize_chat(self, messages: Sequence[Message]) -> list[int]:
        return [ord(char) for char in f"Q:{messages[0].content}|"]

    async def line_breaks(self) -> dict[int, str]:
        return {ord("\n"): "\n"}

    async def complete(
        self,
        prompt: Sequence[int],
        *,
        n: int = 1,
        sampling: Sampling,
        stop: Sequence[str] = (),
        include_stop: bool = False,
        stop_ids: Sequence[int] = (),
        min_tokens: int = 0,
        form: Form | None = None,
    ) -> Completion:
        assert include_stop, "the step's newline belongs to the step"
        assert bool(stop) == bool(stop_ids), "what ends a line ends it as a string and as a token"
        text = "".join(map(chr, prompt))
        return self._answer(text.split("|", 1)[1], n, sampling, stop, len(prompt), min_tokens, prompt=list(prompt))

    async def chat(
        self, messages: Sequence[Message], *, n: int = 1, sampling: Sampling, stop: Sequence[str] = (), form: Form | None = None
    ) -> Completion:
        so_far = "".join(f"{message.content}\n" for message in messages if message.role == "assistant")
        length = sum(len(message.content) for message in messages)
        return self._answer(so_far, n, sampling, stop, length, 0, messages=list(messages))

    def _answer(
        self, so_far: str, n: int, sampling: Sampling, stop: Sequence[str], length: int, least: int, **request: object
    ) -> Completion:
        number = self._asked[so_far, bool(stop)]
        self._asked[so_far, bool(stop)] += 1
        self.requests.append({"so_far": so_far, "n": n, "stop": tuple(stop), "max_tokens": sampling.max_tokens, **request})
        choices = [self._choice(self._script(so_far, number, draw), bool(stop), sampling.max_tokens, least) for draw in range(n)]
        return Completion(tuple(choices), length, sum(len(choice.token_ids or choice.text) for choice in choices))

    def _choice(self, text: str, one_line: bool, limit: int, least: int = 0) -> Choice:
        end = text.find("\n", least) + 1 if one_line and "\n" in text[least:] else len(text)
        text, reason = text[:end], "stop"
        if len(text) > limit or not text.endswith(("\n", EOS)):
            text, reason = text[:limit].rstrip(EOS), "length"
        ids = tuple(map(ord, text)) if self.local else ()
        shown = text.rstrip(EOS)
        return Choice(shown if self.local else shown.removesuffix("\n") if one_line else shown, ids, reason)


Speaker = Callable[[Sequence[Message], Form | None, int], str]
"""What a model says in a dialogue: (the dialogue, the form asked for, number of the request) -> its words. EOS ends them."""


class DialogueEndpoint(FakeEndpoint):
    """Answers every chat, sent as such or rendered to ids, by `speak`; what goes on from a plain path, by the script."""

    def __init__(self, script: Script, speak: Speaker, local: bool = True) -> None:
        super().__init__(script, local)
        self.said: list[dict] = []
        self._speak = speak
        self._chats: dict[tuple[int, ...], list[Message]] = {}

    async def tokenize_chat(self, messages: Sequence[Message]) -> list[int]:
        if len(messages) == 1:
            return await super().tokenize_chat(messages)
        ids = [ord(char) for message in messages for char in f"<{message.role}>{message.content}"]
        self._chats[tuple(ids)] = list(messages)
        return ids

    async def tokenize(self, text: str) -> list[int]:
        return [ord(char) for char in text]

    async def complete(self, prompt: Sequence[int], **request) -> Completion:
        messages = self._chats.get(tuple(prompt))
        if messages is None:
            return await super().complete(prompt, **request)
        return self._spoken(messages, request["sampling"], request.get("form"))

    async def chat(self, messages: Sequence[Message], *, n=1, sampling, stop=(), form=None) -> Completion:
        return self._spoken(list(messages), sampling, form)

    def _spoken(self, messages: list[Message], sampling: Sampling, form: Form | None) -> Completion:
        text = self._speak(messages, form, len(self.said))
        self.said.append({"messages": messages, "form": form, "text": text.rstrip(EOS)})
        choice = self._choice(text, form is None, sampling.max_tokens)
        return Completion((choice,), sum(len(one.content) for one in messages), len(choice.token_ids or choice.text))


async def no_model(role: str) -> Endpoint:
    """For rewards that ask no model."""
    raise AssertionError(f"nobody plays {role} here")


def scripted(lines: dict[str, list[str]]) -> Script:
    """A model that goes on from each text with these lines in turn, draw by draw; it ends where nothing is written."""
    return lambda so_far, number, draw: lines[so_far][draw % len(lines[so_far])] if so_far in lines else EOS


def stage_of(**fields: object) -> SearchStage:
    """A small search stage."""
    used = SEARCH_PARAMETERS[str(fields.get("strategy", "beam"))]
    sizes = {name: size for name, size in (("width", 4), ("keep", 2), ("retries", 0)) if name in used}
    return SearchStage.model_validate({"problems": "p", "policy": "m", "max_depth": 4, **sizes, **fields})


STEP1 = "Step 1: Tom has 5 boxes of 6 pens, so 5 * 6 = 30 pens.\n"
STEP2 = "Step 2: He loses 4, so 30 - 4 = 26 pens.\n"
SLIP2 = "Step 2: He loses 4, so 30 - 4 = 24 pens.\n"
OTHER2 = "Step 2: He finds 4, so 30 + 4 = 34 pens.\n"
ANSWER = f"The answer is 26.{EOS}"
PENS = {
    "": [STEP1],
    STEP1: [STEP2, SLIP2, OTHER2, STEP2],
    STEP1 + STEP2: [ANSWER],
    STEP1 + OTHER2: [f"The answer is 34.{EOS}", ANSWER],
}
"""A script whose tree has right and wrong branches."""
