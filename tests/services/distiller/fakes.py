"""A real HTTP server as the teacher, and a Work that keeps its ledger in memory."""

from types import SimpleNamespace

from shared.contracts.base import Origin
from shared.contracts.work import Payload
from shared.engines.client import Endpoint
from shared.engines.transport import Patience, Server
from tests.shared.engines.scripted import Reply, chat

QUICK = Patience(attempts=2, first_wait=0.001, longest_wait=0.01, busy_seconds=1.0, connect_seconds=0.05)
NONSENSE = "The sky is a pie. 7 7 7 7. \\boxed{ The answer is"
"""What a model says that is far too small for the task."""


def said(text, finish_reason="stop"):
    body = chat(text)
    body["choices"][0]["finish_reason"] = finish_reason
    return Reply(body)


def teacher_at(server, answer=None):
    """An endpoint at a scripted server, which answers each prompt with `answer(prompt)`: a text or a Reply."""

    def reply(body):
        found = answer(body["messages"][0]["content"])
        return found if isinstance(found, Reply) else said(found)

    if answer:
        server.otherwise = reply
    return Endpoint(Server(server.url, patience=QUICK), "big", uri="big", engine=server.url)


def taken(result):
    """A result's records without its tally, which must fit the rest, and the tally's reasons."""
    *records, tally = result.records
    assert (tally.kind, tally.key) == ("tally", "000000") and tally.body["accepted"] <= tally.body["samples"]
    return records, tally.body.get("failed", {})


class MemoryWork:
    """One item of a stage; `store` maps (stage, kind) to records by key."""

    def __init__(self, stage, teacher=None, problems=(), store=None, payload=None, partials=None):
        self.stage, self.teacher, self.store = stage, teacher, store or {}
        self.lease = SimpleNamespace(run_id="r1", stage=stage.kind, key="000000", item_id=f"r1/{stage.kind}/000000")
        self.payload = payload or Payload()
        self.partials = {} if partials is None else partials
        self._problems = list(problems)

    def origin(self, model=None, prompt=None):
        return Origin(run_id="r1", stage=self.stage.kind, model=model, prompt=prompt)

    async def problems(self):
        return self._problems

    async def endpoint(self, role):
        assert role == "teacher"
        return self.teacher

    def works_in_rounds(self):
        self.in_rounds = True

    async def save(self, seq, body):
        assert self.in_rounds
        assert seq not in self.partials
        self.partials[seq] = body

    async def saved(self):
        return [self.partials[seq] for seq in sorted(self.partials)]

    def stream(self, stage, kind):
        return (body for _, body in sorted(self.store.get((stage, kind), {}).items()))

    async def records_by_key(self, stage, kind, keys):
        assert len(keys) <= 500
        return [body for key, body in sorted(self.store[stage, kind].items()) if key in keys]
