"""What a search does on a bad day: rewards that answer nonsense, contexts that are full. Through the handler of search items."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from services.searcher.candidates import Judgement
from services.searcher.policy import ContextFull, TokenPolicy, policy_of, told_apart
from services.searcher.tasks import search
from shared import prompts
from shared.contracts.base import Message, Origin
from shared.contracts.models import Sampling
from shared.contracts.problem import Problem
from shared.contracts.stages import SearchStage
from shared.contracts.tree import ReasoningTree, Verdict
from shared.engines.client import Choice, Completion, RequestRefused
from shared.ledger.items import Result
from tests.services.searcher.fakes import ANSWER, EOS, PENS, STEP1, STEP2, FakeEndpoint, Script, scripted, stage_of

VLLM_FULL = "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)"
"""What vLLM 0.32 says of a prompt that fills its context to the last token."""


class Work:
    """A search item without a ledger."""

    lease = SimpleNamespace(run_id="run1", stage="search", key="p1", item_id="run1/search/p1")

    def __init__(self, problem: Problem, script: Script, **stage: Any) -> None:
        self.stage: SearchStage = stage_of(**stage)
        self.asked = FakeEndpoint(script)
        self.rounds: list[dict[str, Any]] = []
        self._problem = problem

    async def problems(self) -> list[Problem]:
        return [self._problem]

    async def endpoint(self, role: str) -> FakeEndpoint:
        return self.asked

    async def save(self, seq: int, body: dict[str, Any]) -> None:
        self.rounds.append(body)

    async def saved(self) -> list[dict[str, Any]]:
        return list(self.rounds)

    def works_in_rounds(self) -> None:
        """Nothing here is bought."""

    def origin(self, model: str | None = None, prompt: str | None = None) -> Origin:
        return Origin(run_id="run1", stage="search", model=model, prompt=prompt, seed=1)


def tree_of(result: Result) -> ReasoningTree:
    [record] = result.records
    return ReasoningTree.model_validate(record.body)


# -- rewards -------------------------------------------------------------------------------------------------------

FINE = Judgement(0.5, Verdict.UNKNOWN)
NONSENSE: dict[str, tuple[Any, str]] = {
    "NaN": ([Judgement(math.nan, Verdict.CORRECT)], "nan is no score for the step 'Step 1"),
    "infinite": ([Judgement(math.inf, Verdict.CORRECT)], "inf is no score"),
    "below 0": ([Judgement(-0.1, Verdict.CORRECT)], "-0.1 is no score"),
    "above 1": ([Judgement(1.5, Verdict.CORRECT)], "1.5 is no score"),
    "a text": ([Judgement("0.9", Verdict.CORRECT)], "'0.9' is no score"),  # type: ignore[arg-type]
    "no judgement": ([None], "None is no judgement"),
    "a bare score": ([0.5], "0.5 is no judgement"),
    "no verdict": ([Judgement(0.5, None)], "None is no verdict"),  # type: ignore[arg-type]
    "too few": ([], "0 judgements for 1 steps"),
    "too many": ([FINE, FINE], "2 judgements for 1 steps"),
}


@pytest.mark.parametrize(("judgements", "words"), NONSENSE.values(), ids=NONSENSE)
async def test_a_reward_that_judges_nonsense_fails_the_item_by_its_name(problem, monkeypatch, judgements, words):
    async def judge(self, growth, candidates):
        return judgements

    monkeypatch.setattr("services.searcher.rewards.arithmetic.ArithmeticJudge.judge", judge)
    work = Work(problem, scripted(PENS))
    with pytest.raises(ValueError, match="^reward arithmetic: ") as failed:
        await search(work)
    assert words in str(failed.value)
    assert work.rounds == []  # nothing of the round is saved: a retry judges it anew


async def test_nonsense_for_one_step_of_many_is_seen(problem, monkeypatch):
    async def judge(self, growth, candidates):
        return [*[FINE] * (len(candidates) - 1), Judgement(math.nan, Verdict.UNKNOWN)]

    monkeypatch.setattr("services.searcher.rewards.arithmetic.ArithmeticJudge.judge", judge)
    lines = ["Step 1: one\n", "Step 1: two\n", "Step 1: three\n"]
    with pytest.raises(ValueError, match="nan is no score for the step 'Step 1: three'"):
        await search(Work(problem, scripted({"": lines})))


# -- full contexts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["arithmetic", "rollout"])
async def test_a_problem_that_does_not_fit_is_a_tree_without_steps_that_says_so(problem, kind):
    def script(so_far: str, number: int, draw: int) -> str:
        raise RequestRefused(400, "This model's maximum context length is 2048 tokens. However, your prompt contains 5000")

    work = Work(problem, script, reward={"kind": kind}, retries=2)
    result = await search(work)
    [root] = tree_of(result).nodes
    assert root.ended == "context_overflow"
    assert {"nodes": 0, "context_overflow": 1, "verified": 0, "rounds": 1}.items() <= result.summary.items()
    assert len(work.asked.requests) == len(work.rounds) == 1
    assert (await search(work)).records == result.records
    assert len(work.asked.requests) == 1  # a second attempt asks no more


async def test_paths_that_outgrow_the_context_are_counted_and_others_go_on(problem):
    def script(so_far: str, number: int, draw: int) -> str:
        if so_far == "Step 1: in many words\n":
            raise RequestRefused(400, VLLM_FULL)
        return ["Step 1: in many words\n", STEP1][draw % 2] if so_far == "" else ANSWER

    result = await search(Work(problem, script, width=2))
    tree = tree_of(result)
    assert [node.text for node in tree.nodes if node.ended == "context_overflow"] == ["Step 1: in many words"]
    assert {"context_overflow": 1, "verified": 1}.items() <= result.summary.items()


class Window(FakeEndpoint):
    """An engine with a context of so many tokens, which behaves at its edge as vLLM 0.32 does."""

    def __init__(self, script: Script, length: int) -> None:
        super().__init__(script)
        self.length = length

    async def complete(self, prompt, *, sampling, **options):  # type: ignore[no-untyped-def, override]
        room = self.length - len(prompt)
        if room <= 0:
            raise RequestRefused(400, VLLM_FULL if room == 0 else f"This model's maximum context length is {self.length} tokens")
        return await super().complete(
            prompt, sampling=sampling.model_copy(update={"max_tokens": min(room, sampling.max_tokens)}), **options
        )


@pytest.mark.parametrize("kind", ["arithmetic", "rollout"])
async def test_wherever_the_context_ends_the_tree_says_so_and_holds_whole_steps_only(problem, kind):
    """The window moves over a whole solution: no step that it cut is in the tree, and what ended there says why."""
    lines = ["Step 1: Tom has 5 * 6 = 30 pens.\n", "\n", "Step 2: So 30 - 4 = 26 are left.\n", f"The answer is 26.{EOS}"]
    script = scripted({"".join(lines[:n]): ["".join(lines[n:])] for n in range(len(lines))})
    work = Work(problem, script, width=2, retries=1, max_depth=6, reward={"kind": kind, "rollouts": 2})
    await search(work)
    prompt = len(work.asked.requests[0]["prompt"])
    whole = sum(map(len, lines))
    for room in range(whole + 2):
        work = Work(problem, script, width=2, retries=1, max_depth=6, reward={"kind": kind, "rollouts": 2})
        work.asked = Window(script, prompt + room)
        result = await search(work)
        tree = tree_of(result)
        texts = [node.text for node in tree.nodes[1:]]
        assert texts == [line.strip(f"\n{EOS}") for line in lines if line.strip()][: len(texts)]
        finished = bool(tree.nodes[-1].final)
        assert finished == (room >= whole)
        assert result.summary["context_overflow"] == (0 if finished else 1)
        assert finished or tree.nodes[-1].ended == "context_overflow"
        assert all(node.score is None or node.score > 0 for node in tree.nodes)  # no room is no judgement of the step before


async def test_a_rollout_that_a_limit_cut_states_nothing_in_its_last_line(problem):
    """26 of "The answer is 260" is no answer."""
    said = "so\nThe answer is 260"
    endpoint = FakeEndpoint(scripted({STEP1: [said]}))
    [cut, _] = await TokenPolicy(endpoint, [ord("|")], {}).rollouts(
        [SimpleNamespace(text=STEP1, token_ids=tuple(map(ord, STEP1)))], 2, Sampling(max_tokens=len(said) - 1)
    )
    assert cut == "so"


async def test_a_second_request_without_room_does_not_end_a_node_that_has_steps(problem):
    """At the edge one sample may fit and the next not: the node has gone on."""
    texts = iter([[STEP1, STEP1], ["5 * 6 = 31\n", "5 * 6 = 31\n"], None])

    class Edge(FakeEndpoint):
        async def complete(self, prompt, *, n, sampling, **options):  # type: ignore[no-untyped-def, override]
            found = next(texts)
            if found is None:
                return Completion((Choice("x", (1,), "length"),) * n, 1, n)
            return Completion(tuple(Choice(text, tuple(map(ord, text)), "stop") for text in found), 1, 2)

    work = Work(problem, scripted({}), width=2, retries=1, max_depth=2)
    work.asked = Edge(scripted({}))
    tree = tree_of(await search(work))
    assert [node.ended for node in tree.nodes] == [None, None, None]
    assert tree.nodes[2].verdict is Verdict.INCORRECT


FULL = [
    VLLM_FULL,
    "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 input tokens, which exceeds "
    "this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=2049)",
    "The decoder prompt (length 2048) plus the number of requested output tokens (at least 1) is longer than the maximum model "
    "length of 2048.",
    "the request exceeds the available context size, try increasing it",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000",
    "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
]
OTHER = ["n is too large", "max_tokens must be at least 1, got -1", "model `m` does not exist", "Rate limit reached for m"]


@pytest.mark.parametrize("words", FULL)
def test_words_for_a_full_context(words: str) -> None:
    assert isinstance(told_apart(RequestRefused(400, words)), ContextFull)


@pytest.mark.parametrize("words", OTHER)
def test_other_refusals_stay_what_they_are(words: str) -> None:
    refused = RequestRefused(400, words)
    assert told_apart(refused) is refused


@pytest.mark.engine
async def test_a_full_context_on_a_real_engine(smollm_endpoint, problem):
    """Whatever the engine says at the edge of its context is understood, and what it cuts there is neither a step nor an answer."""
    length, sampling = 2048, Sampling(temperature=0.01, max_tokens=96)
    policy = await policy_of(smollm_endpoint, problem)
    prompt = await smollm_endpoint.tokenize_chat([Message(role="user", content=prompts.render("solve", question=problem.question))])
    words = await smollm_endpoint.tokenize("Tom has 5 boxes of 6 pens and ")
    paths = {room: tuple((words * length)[: length - len(prompt) - room]) for room in (-3000, -1, 0, 1, 3)}
    for ids in paths.values():
        path = [SimpleNamespace(text="Tom", token_ids=ids)]
        for ask in (policy.steps, policy.rollouts):
            with pytest.raises(ContextFull):
                await ask(path, 2, sampling)

    node = {"id": 1, "parent": 0, "depth": 1, "text": "Tom has pens", "token_ids": paths[0], "tokens": len(paths[0])}
    work = Work(problem, scripted({}), reward={"kind": "rollout", "rollouts": 2})
    work.asked = smollm_endpoint
    work.rounds = [{"nodes": [node], "changed": {}, "remarks": [], "cost": {"rounds": 1}}]
    result = await search(work)
    assert [node.ended for node in tree_of(result).nodes] == [None, "context_overflow"]

    work = Work(problem.model_copy(update={"question": "Tom has 5 boxes of 6 pens. " * 400}), scripted({}))
    work.asked = smollm_endpoint
    result = await search(work)
    [root] = tree_of(result).nodes
    assert (root.ended, result.summary["context_overflow"], result.summary["nodes"]) == ("context_overflow", 1, 0)


# -- what is counted -----------------------------------------------------------------------------------------------


async def test_every_sampled_token_is_paid_and_each_node_is_counted_once(problem):
    """Merged, cut and blank samples are paid for and not in the tree."""
    cut = "cut " * 40
    lines = {"": [STEP1, STEP1.lower(), cut, EOS], STEP1: [STEP2, ANSWER, ANSWER, cut], STEP1 + STEP2: [ANSWER]}
    work = Work(problem, scripted(lines), max_depth=3)
    result = await search(work)
    tree = tree_of(result)
    limit = work.stage.sampling.max_tokens
    paid = [len(STEP1) * 2 + limit + len(EOS), len(STEP2) + 2 * len(ANSWER) + limit, 4 * len(ANSWER)]
    assert tree.cost.completion_tokens == sum(paid)
    assert tree.tree_tokens == len(STEP1) + len(STEP2) + 2 * len(ANSWER)
    assert (tree.cost.truncated_steps, tree.cost.blank_steps, tree.cost.merged_steps) == (2, 1, 1 + 1 + 3)
    assert [node.multiplicity for node in tree.nodes[1:]] == [2, 1, 2, 4]
    sampled = sum(node.multiplicity for node in tree.nodes[1:]) + tree.cost.truncated_steps + tree.cost.blank_steps
    assert sampled == 4 * tree.cost.requests
    assert {"completion_tokens": sum(paid), "tree_tokens": tree.tree_tokens, "truncated": 2}.items() <= result.summary.items()
