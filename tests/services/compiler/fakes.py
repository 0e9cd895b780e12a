"""Stand-ins at the edge: a refiner's endpoint that answers by script, and a Work that keeps its ledger in memory."""

from types import SimpleNamespace
from typing import Any

from shared.contracts.base import Origin
from shared.contracts.recipe import Recipe
from shared.contracts.work import Payload
from shared.engines.client import Choice, Completion


class ScriptedEndpoint:
    """Answers each chat with `answer(prompt)`: a text, a Choice, or an error to raise."""

    uri = "fake://refiner"

    def __init__(self, answer):
        self.prompts = []
        self._answer = answer

    async def chat(self, messages, *, n=1, sampling, stop=()):
        (message,) = messages
        self.prompts.append(message.content)
        said = self._answer(message.content)
        if isinstance(said, Exception):
            raise said
        choice = said if isinstance(said, Choice) else Choice(said, (), "stop")
        return Completion((choice,), 10, 5)


def recipe_of(**compile_stage):
    """A recipe with a search and a compile stage."""
    data = compile_stage.get("data", ())
    return Recipe.model_validate(
        {
            "name": "tiny",
            "seed": 5,
            "models": {"base": {"model": "smollm2-135m-instruct"}, "big": {"model": "big", "url": "http://127.0.0.1:1/v1"}},
            "problems": {"train": {"generator": "arithmetic", "count": 4}},
            "stages": {
                "search": {"kind": "search", "problems": "train", "policy": "base"},
                **{name: {"kind": "distill", "problems": "train", "teacher": "big"} for name in data},
                "compile": {"kind": "compile", "trees": "search", **compile_stage},
            },
        }
    )


def memory_work(*args, **kwargs) -> Any:
    """A MemoryWork where a handler wants a Work."""
    return MemoryWork(*args, **kwargs)


class MemoryWork:
    """One item of the compile stage; `store` maps (stage, kind) to records by key."""

    def __init__(self, recipe, store, folder, *, key="trees-000000", keys=(), stage=None, close=False, endpoint=None):
        self.recipe, self.stage, self.store = recipe, recipe.stages["compile"], store
        self.lease = SimpleNamespace(run_id="r1", stage="compile", key=key, item_id=f"r1/compile/{key}")
        self.payload = Payload(keys=tuple(keys), stage=stage, close=close)
        self.folder = f"file://{folder}"
        self.partials = {}
        self._endpoint = endpoint

    def origin(self, model=None, prompt=None):
        return Origin(run_id="r1", stage="compile", model=model, prompt=prompt, seed=1)

    async def endpoint(self, role):
        assert role == "refiner"
        return self._endpoint

    def stream(self, stage, kind):
        found = self.store.get((stage, kind), {})
        return (found[key] for key in sorted(found))

    def usage(self):
        about = {"role": "policy", "model": "base", "requests": 7, "prompt_tokens": 100, "completion_tokens": 50, "cost": 0.25}
        return [SimpleNamespace(stage=stage, **about) for stage in ("search", "preflight")]

    def stream_source(self, name):
        return iter([{"source": "gsm8k"}, {"source": "gsm8k"}, {}])

    async def records_by_key(self, stage, kind, keys):
        found = self.store.get((stage, kind), {})
        return [found[key] for key in sorted(found) if key in keys]

    async def save(self, seq, body):
        assert seq not in self.partials, "a sequence number is used once"
        self.partials[seq] = body

    async def saved(self):
        return [self.partials[seq] for seq in sorted(self.partials)]

    def take(self, result):
        """Stores a result as a commit would."""
        for record in result.records:
            self.store.setdefault(("compile", record.kind), {})[record.key] = record.body
