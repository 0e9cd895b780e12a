"""mcts: every simulation against a plainly written reference, and what is never selected."""

import asyncio
import math
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.searcher.candidates import Judgement, Rule
from services.searcher.strategies.mcts import preferred
from shared.contracts.problem import Problem
from shared.contracts.tree import Node, Verdict
from shared.engines.client import RequestRefused
from tests.services.searcher.fakes import ANSWER, EOS, PENS, SLIP2, STEP1, STEP2, scripted, stage_of
from tests.services.searcher.growing import by_text, grown, wandering
from tests.services.searcher.test_rounds import growth_of

LINES = [STEP1, STEP2, SLIP2, "And so\n", "Or so\n", "1 + 1 = 2\n", "2 + 2 = 5\n", "1 + 2 = 3\n", ANSWER, f"The answer is 3.{EOS}"]
DROPPED = ["cut " * 40, EOS, f"That is all.{EOS}"]


def searched(**fields):
    return stage_of(strategy="mcts", **fields)


class Reference:
    """Monte-Carlo tree search by the book: outcomes are kept in lists, and nothing is updated."""

    def __init__(self, tree, stage, judged):
        self.tree, self.stage, self.judged = tree, stage, judged
        self.outcomes = {node.id: [] for node in tree.nodes}
        self.born = {0}
        self.asked = set()

    def worth(self, node):
        return (1.0 if node.verified else 0.0) if node.final else node.score or 0.0

    def children(self, node):
        return [child for child in self.tree.children[node.id] if child.id in self.born]

    def lost(self, node):
        # `no_answer` was known when the node came to be; `context_overflow` only since it was asked
        wrong = self.judged and node.verdict is Verdict.INCORRECT
        return not node.final and (wrong or node.ended == "no_answer")

    def hopeful(self, node):
        if self.children(node):
            return any(self.hopeful(child) for child in self.children(node))
        if node.final:
            return not self.outcomes[node.id]
        return not (self.lost(node) or node.depth == self.stage.max_depth or node.id in self.asked)

    def urge(self, node, parent):
        n, total = len(self.outcomes[node.id]), len(self.outcomes[parent.id])
        if self.stage.formula == "uct":
            if n == 0:
                return math.inf
            return fmean(self.outcomes[node.id]) + self.stage.exploration * math.sqrt(math.log(total) / n)
        prior = node.multiplicity / sum(child.multiplicity for child in self.children(parent))
        mean = fmean(self.outcomes[node.id]) if n else self.worth(node)
        return mean + self.stage.exploration * prior * math.sqrt(total) / (1 + n)

    def best(self, nodes, parent):
        return sorted(nodes, key=lambda node: (-self.urge(node, parent), -self.worth(node), -node.multiplicity, node.id))[0]

    def simulate(self, new_ids):
        """One simulation that gave these nodes. Returns its walk."""
        walk = [self.tree.nodes[0]]
        while self.children(walk[-1]):
            walk.append(self.best([child for child in self.children(walk[-1]) if self.hopeful(child)], walk[-1]))
        assert self.hopeful(walk[-1])
        if not walk[-1].final:
            self.asked.add(walk[-1].id)
        self.born |= set(new_ids)
        new = [self.tree.nodes[one] for one in new_ids]
        assert all(node.parent == walk[-1].id for node in new)
        if new:
            walk.append(self.best([node for node in new if not self.lost(node)] or new, walk[-1]))
        for node in walk:
            self.outcomes[node.id].append(self.worth(walk[-1]))
        return walk


@settings(max_examples=60)
@given(
    st.integers(0, 10_000),
    st.lists(st.sampled_from(LINES + DROPPED), min_size=1, max_size=12),
    st.sampled_from(["uct", "puct"]),
    st.sampled_from([0.0, 0.5, 1.4, 10.0]),
    st.sampled_from(["arithmetic", "rollout"]),
    st.integers(2, 4),
    st.integers(1, 4),
)
def test_visits_and_values_are_those_of_the_reference(seed, lines, formula, exploration, kind, width, depth):
    asyncio.run(_check_reference(seed, lines, formula, exploration, kind, width, depth))


async def _check_reference(seed, lines, formula, exploration, kind, width, depth):
    problem = Problem(id="p", question="Q?", answer="26")
    reward = {"kind": kind, "rollouts": 3}
    stage = searched(formula=formula, exploration=exploration, reward=reward, width=width, max_depth=depth, simulations=14)
    tree, saved, endpoint = await grown(problem, wandering(lines, seed), stage)
    reference = Reference(tree, stage, judged=kind == "arithmetic")
    for body in saved:
        walk = reference.simulate([node["id"] for node in body["nodes"]])
        counted = {int(one) for one, update in body["changed"].items() if "visits" in update}
        assert {node.id for node in walk} == counted | {node["id"] for node in body["nodes"] if node.get("visits")}
    for node in tree.nodes:
        assert node.visits == len(reference.outcomes[node.id])
        assert node.value == pytest.approx(fmean(reference.outcomes[node.id])) if node.visits else node.value is None
    assert tree.nodes[0].visits == tree.cost.rounds == len(saved)
    assert tree.nodes[0].visits == 14 or not reference.hopeful(tree.nodes[0])
    assert len([request for request in endpoint.requests if request["stop"]]) <= len(saved)  # one request an expansion


@pytest.mark.parametrize("formula", ["uct", "puct"])
async def test_it_finds_the_right_branch_and_values_it(problem, formula):
    tree, _, _ = await grown(problem, scripted(PENS), searched(formula=formula, simulations=20))
    right, slip = by_text(tree, STEP2), by_text(tree, SLIP2)
    assert (slip.visits, slip.kept, slip.value, tree.children[slip.id]) == (0, False, None, ())
    assert right.visits >= 1 and right.value == 1.0
    assert len(list(tree.verified_leaves)) == 2 and tree.nodes[0].visits < 20  # nothing is left to select


async def test_each_expansion_is_one_request_and_one_call_of_the_judge(problem, monkeypatch):
    calls = []

    async def judge(self, growth, candidates):
        calls.append(len(candidates))
        return [Judgement(0.5, Verdict.UNKNOWN) for _ in candidates]

    monkeypatch.setattr("services.searcher.rewards.arithmetic.ArithmeticJudge.judge", judge)
    lines = [f"thought {number}\n" for number in range(99)]
    tree, _, endpoint = await grown(problem, wandering(lines), searched(simulations=6, max_depth=8))
    assert [request["n"] for request in endpoint.requests] == [4] * 6 and sum(calls) == len(tree.nodes) - 1 and len(calls) == 6


async def test_exploration_and_prior_choose(problem, monkeypatch):
    scores = {"a": 0.9, "b": 0.5, "c": 0.4}

    async def judge(self, growth, candidates):
        return [Judgement(scores[candidate.text[0]], Verdict.UNKNOWN) for candidate in candidates]

    monkeypatch.setattr("services.searcher.rewards.arithmetic.ArithmeticJudge.judge", judge)
    monkeypatch.setattr("services.searcher.rewards.arithmetic.ArithmeticJudge.rule", Rule.SCORED)

    def script(so_far, number, draw):
        return f"{'abcc'[draw]}\n" if not so_far else f"{so_far[0]} {draw} {len(so_far)}\n"

    async def visits(**fields):
        tree, _, _ = await grown(problem, script, searched(max_depth=40, simulations=12, **fields))
        return [node.visits for node in tree.nodes if node.depth == 1]

    assert await visits(formula="puct", exploration=0) == [12, 0, 0]  # the best alone
    assert await visits(formula="uct", exploration=0) == [10, 1, 1]  # each once, then the best alone
    assert await visits(formula="uct", exploration=100) == [4, 4, 4]
    assert await visits(formula="puct", exploration=100) == [3, 3, 6]  # as often as the policy sampled them


async def test_a_node_asked_in_vain_is_not_asked_again(problem):
    tree, saved, endpoint = await grown(problem, scripted({"": ["cut " * 40]}), searched())
    assert len(endpoint.requests) == 1 and len(saved) == 1
    assert (tree.nodes[0].visits, tree.nodes[0].value, tree.nodes[0].kept) == (1, 0.0, False)


async def test_a_full_context_ends_the_branch(problem):
    def script(so_far, number, draw):
        if so_far:
            raise RequestRefused(400, "This model's maximum context length is 2048 tokens.")
        return STEP1

    tree, saved, _ = await grown(problem, script, searched())
    assert (tree.nodes[1].ended, tree.nodes[1].visits, tree.nodes[1].value) == ("context_overflow", 2, 1.0)
    again, _, endpoint = await grown(problem, script, searched(), saved=saved)
    assert again == tree and endpoint.requests == []


async def test_stop_after(problem):
    tree, _, _ = await grown(problem, scripted({"": [ANSWER, STEP1], STEP1: [ANSWER]}), searched(stop_after=1))
    assert tree.cost.rounds == 1


@pytest.mark.parametrize(
    ("formula", "tips"),
    [
        # 0.5 + 2 * sqrt(ln 8 / 2) = 2.539, and q + 2 * sqrt(ln 8 / 5) = q + 1.290: equal at q = 1.250
        ("uct", 1.250),
        # 0.5 + 2 * 1/4 * sqrt(8) / 3 = 0.971, and q + 2 * 3/4 * sqrt(8) / 6 = q + 0.707: equal at q = 0.264
        ("puct", 0.264),
    ],
)
def test_the_formulas_worked_out_by_hand(problem, formula, tips):
    def chosen(value):
        rows = [{"visits": 2, "value": 0.5, "multiplicity": 1}, {"visits": 5, "value": value, "multiplicity": 3}]
        nodes = [Node(id=place, parent=0, depth=1, text=str(place), **row) for place, row in enumerate(rows, start=1)]
        growth = growth_of(problem, nodes=nodes, strategy="mcts", formula=formula, exploration=2)
        return preferred(growth, growth.stage, Node(id=0, parent=None, depth=0, text="", visits=8), nodes, nodes).id

    assert (chosen(tips - 0.002), chosen(tips + 0.002)) == (1, 2)
