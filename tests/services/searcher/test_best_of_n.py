"""best_of_n: chains merged by their common first steps, their token ids as sampled."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.searcher.candidates import normalised
from shared.answers.extract import final_answer
from shared.contracts.problem import Problem
from shared.contracts.tree import Verdict
from shared.engines.client import Choice, RequestRefused
from tests.services.searcher.fakes import ANSWER, EOS, OTHER2, SLIP2, STEP1, STEP2, FakeEndpoint, stage_of
from tests.services.searcher.growing import by_text, grown

CHAINS = [STEP1 + STEP2 + ANSWER, STEP1.upper() + SLIP2 + f"The answer is 24.{EOS}", STEP1 + STEP2 + STEP2 + EOS]


def writes(chains):
    """A model that writes these whole solutions, and steps of a rollout that lead nowhere."""
    return lambda so_far, number, draw: chains[draw % len(chains)] if not so_far else f"Nothing.{EOS}"


def chained(**fields):
    return stage_of(strategy="best_of_n", **fields)


@pytest.mark.parametrize("local", [True, False])
async def test_chains_share_their_first_steps(problem, local):
    tree, saved, endpoint = await grown(problem, writes(CHAINS), chained(chains=4), local=local)
    assert [(node.depth, node.text, node.multiplicity, node.verified, node.ended) for node in tree.nodes[1:]] == [
        (1, STEP1.strip(), 4, None, None),
        (2, STEP2.strip(), 3, None, None),
        (3, "The answer is 26.", 2, True, None),
        (2, SLIP2.strip(), 1, None, None),
        (3, "The answer is 24.", 1, False, None),
        (3, STEP2.strip(), 1, None, "no_answer"),
    ]
    assert by_text(tree, SLIP2).verdict is Verdict.INCORRECT and by_text(tree, SLIP2).reason == "30 - 4 = 26, not 24"
    assert tree.nodes[6].reason == "this only repeats an earlier step"  # judged by the path above it
    assert (len(endpoint.requests), endpoint.requests[0]["n"], endpoint.requests[0]["max_tokens"]) == (1, 4, 96 * 4)
    assert (tree.cost.rounds, tree.cost.merged_steps, len(saved)) == (2, 3 + 2 + 1, 2)
    assert tree.cost.completion_tokens >= tree.tree_tokens > 0


@pytest.mark.parametrize(
    ("chain", "texts", "counted"),
    [
        (STEP1 + "The answer is 26.\n" + STEP2 + EOS, [STEP1, "The answer is 26."], {}),  # goes on after its answer
        (STEP1 + STEP2 + "Step 3: " + "on and " * 90, [STEP1, STEP2], {"truncated_steps": 1}),
        (STEP1 + EOS, [STEP1], {}),
        ("\n\n" + STEP1 + "\n" + STEP2 + ANSWER, [STEP1, STEP2, "The answer is 26."], {"blank_steps": 0}),
        (EOS, [], {"blank_steps": 1}),
        ("cut " * 200, [], {"truncated_steps": 1}),
        ("".join(f"Step {step}: so\n" for step in range(1, 9)) + EOS, [f"Step {step}: so" for step in (1, 2, 3, 4)], {}),
    ],
)
async def test_what_becomes_of_a_chain(problem, chain, texts, counted):
    tree, _, _ = await grown(problem, writes([chain]), chained(chains=1))
    assert [node.text for node in tree.nodes[1:]] == [text.strip() for text in texts]
    cost = tree.cost.model_dump()
    expected = {"truncated_steps": 0, "blank_steps": 0, "merged_steps": 0, **counted}
    assert {name: cost[name] for name in expected} == expected


async def test_one_that_goes_on_stands_for_one_that_ended(problem):
    tree, _, _ = await grown(problem, writes([STEP1.strip() + EOS, STEP1 + ANSWER]), chained(chains=2))
    step = by_text(tree, STEP1)
    assert (step.ended, step.multiplicity, "".join(map(chr, step.token_ids))) == (None, 2, STEP1)
    assert tree.nodes[2].parent == step.id and tree.nodes[2].verified


async def test_every_step_is_judged_in_one_call(problem, monkeypatch):
    calls = []

    async def counted(self, growth, candidates):
        calls.append([candidate.text for candidate in candidates])
        return await judge(self, growth, candidates)

    judge = __import__("services.searcher.rewards.rollout", fromlist=["RolloutJudge"]).RolloutJudge.judge
    monkeypatch.setattr("services.searcher.rewards.rollout.RolloutJudge.judge", counted)
    tree, _, endpoint = await grown(problem, writes(CHAINS), chained(chains=3, reward={"kind": "rollout", "rollouts": 2}))
    assert calls == [[node.text for node in tree.nodes[1:]]]
    assert [node.score for node in tree.nodes[1:]] == [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert tree.cost.requests == len(endpoint.requests) == 1 + 3  # answers and dead ends need no rollout


async def test_a_smaller_limit_is_asked_for_where_the_context_is_short(problem):
    class Short(FakeEndpoint):
        """A model with room for so many tokens."""

        room = 50

        async def complete(self, prompt, *, sampling, **kwargs):
            if sampling.max_tokens > self.room:
                raise RequestRefused(400, "This model's maximum context length is 2048 tokens.")
            return await super().complete(prompt, sampling=sampling, **kwargs)

    for room, limit in [(1000, 384), (200, 192), (100, 96)]:
        endpoint = Short(writes([STEP1 + ANSWER]))
        endpoint.room = room
        await grown(problem, None, chained(chains=2), endpoint=endpoint)
        assert [request["max_tokens"] for request in endpoint.requests] == [limit]
    tree, saved, _ = await grown(problem, None, chained(chains=2), endpoint=Short(writes([STEP1])))
    assert len(tree.nodes) == 1 and tree.nodes[0].ended == "context_overflow"
    again, _, _ = await grown(problem, None, chained(chains=2), saved=saved, endpoint=Short(writes([STEP1])))
    assert again == tree


async def test_a_second_attempt_buys_no_chain_again(problem):
    whole, saved, _ = await grown(problem, writes(CHAINS), chained(chains=3))
    for cut in (1, 2):
        tree, rounds, endpoint = await grown(problem, writes([EOS]), chained(chains=3), saved=saved[:cut])
        assert (tree, rounds, endpoint.requests) == (whole, saved, [])


class Merging(FakeEndpoint):
    """A vocabulary in which tokens reach over newlines; each chain's ids are kept."""

    WORDS = ("\n\n", ".\n", "\nStep", ". ", "Step ", "6 = 30 pens.\n\n")

    def __init__(self, script) -> None:
        super().__init__(script)
        self.uri, self.chains = "fake://merging", []

    async def line_breaks(self):
        return {ord("\n"): "\n"} | {0x110000 + place: word for place, word in enumerate(self.WORDS) if "\n" in word}

    async def complete(self, prompt, **kwargs):
        words = (self.WORDS[token - 0x110000] if token >= 0x110000 else chr(token) for token in prompt)
        done = await super().complete([ord(char) for word in words for char in word], **kwargs)
        self.chains += [choice.token_ids for choice in done.choices]
        return done

    def _choice(self, text, one_line, limit, least=0):
        plain = super()._choice(text, one_line, limit, least)
        written, ids = "".join(map(chr, plain.token_ids)), []
        while written:
            word = max((word for word in self.WORDS if written.startswith(word)), key=len, default=written[0])
            ids.append(0x110000 + self.WORDS.index(word) if word in self.WORDS else ord(word))
            written = written[len(word) :]
        return Choice(plain.text, tuple(ids), plain.finish_reason)


LINES = st.sampled_from(
    [STEP1, STEP2, SLIP2, OTHER2, "\n", "Ok.\n", "ok. \n", ANSWER, f"Done.{EOS}", EOS, "cut " * 99, "The answer is 4.\n"]
)


def solution(lines):
    """Lines up to the first that ends the text, as one text."""
    end = next((place for place, line in enumerate(lines) if not line.endswith("\n")), len(lines))
    return "".join(lines[: end + 1]) + EOS * (end == len(lines))


@given(st.lists(st.lists(LINES, min_size=1, max_size=6).map(solution), min_size=1, max_size=6), st.integers(1, 4), st.booleans())
def test_the_tree_is_the_chains(chains, depth, merging):
    asyncio.run(_check_chains(chains, depth, merging))


async def _check_chains(chains, depth, merging):
    problem = Problem(id="p", question="Q?", answer="26")
    endpoint = (Merging if merging else FakeEndpoint)(writes(chains))
    stage = chained(chains=len(chains), max_depth=depth)
    tree, saved, _ = await grown(problem, None, stage, endpoint=endpoint)
    expected, dropped = Counter(), Counter()
    for chain in chains:
        path = plain_path(chain, depth, 96 * depth, dropped)
        expected.update(path[: length + 1] for length in range(len(path)))
    found = Counter()
    for node in tree.nodes[1:]:
        found[tuple(normalised(step.text) for step in tree.path(node.id))] += node.multiplicity
    assert found == expected
    assert (tree.cost.truncated_steps, tree.cost.blank_steps) == (dropped["cut"], dropped["blank"])
    assert tree.cost.merged_steps == sum(expected.values()) - (len(tree.nodes) - 1)
    assert tree.cost.completion_tokens >= tree.tree_tokens
    assert all(not (node.final or node.ended) for node in tree.nodes if tree.children[node.id])
    if merging and all(node.multiplicity == 1 for node in tree.nodes):  # byte for byte what was sampled
        for leaf in tree.leaves:
            ids = tuple(token for step in tree.path(leaf.id) for token in step.token_ids)
            assert any(chain[: len(ids)] == ids for chain in endpoint.chains)
            assert leaf.ended is None or ids in endpoint.chains
    texts = [(node.parent, normalised(node.text)) for node in tree.nodes]
    assert merging or len(set(texts)) == len(texts)
    again, _, other = await grown(problem, writes([EOS]), stage, saved=saved)
    assert again == tree and other.requests == []


def plain_path(chain, depth, limit, dropped):
    """The steps of a chain, normalised, by the rules alone."""
    written = chain[:limit] if len(chain) > limit or not chain.endswith(("\n", EOS)) else chain
    ended = written.endswith(EOS)
    lines = written.rstrip(EOS).split("\n")
    rows = [(line, ended or place < len(lines) - 1) for place, line in enumerate(lines) if line.strip()]
    if not rows:
        dropped["blank" if ended else "cut"] += 1
    path = []
    for line, complete in rows[:depth]:
        if not complete:
            dropped["cut"] += 1
            break
        path.append(normalised(line))
        if final_answer(line) is not None:
            break
    return tuple(path)
