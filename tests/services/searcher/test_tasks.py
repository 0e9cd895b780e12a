"""The handler: one item, one tree, one record."""

from types import SimpleNamespace

from services.searcher.tasks import search
from shared.contracts.base import Origin
from shared.contracts.tree import ReasoningTree
from tests.services.searcher.fakes import PENS, FakeEndpoint, scripted, stage_of


async def test_the_handler_returns_one_tree_with_its_figures(problem):
    endpoint = FakeEndpoint(scripted(PENS))
    saved: list[dict] = []

    class Work:
        lease = SimpleNamespace(run_id="run1", stage="search", key="p1", item_id="run1/search/p1")
        stage = stage_of()

        async def problems(self):
            return [problem]

        async def endpoint(self, role):
            assert role == "policy"
            return endpoint

        async def save(self, seq, body):
            saved.append(body)

        async def saved(self):
            return list(saved)

        def works_in_rounds(self):
            """Nothing here is bought."""

        def origin(self, model=None, prompt=None):
            return Origin(run_id="run1", stage="search", model=model, prompt=prompt, seed=1)

    result = await search(Work())
    [record] = result.records
    tree = ReasoningTree.model_validate(record.body)
    assert (record.kind, record.key, tree.id) == ("tree", "p1", "run1/search/p1")
    assert (tree.origin.model, tree.origin.prompt.split("@")[0]) == ("fake://model", "solve")
    assert {"nodes": 7, "final": 3, "verified": 2, "wrong": 2, "rounds": 3}.items() <= result.summary.items()
    assert (await search(Work())).records == result.records  # everything was saved: nothing is asked again
