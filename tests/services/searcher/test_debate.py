"""A critic answers every step: what it leaves in the tree, how it and the reward combine, and that a cut search goes on."""

import asyncio
import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.searcher.strategies.debate import Reply, impossible
from shared.contracts.problem import Problem
from shared.contracts.tree import ReasoningTree, Verdict
from shared.engines.client import Choice, RequestRefused
from shared.engines.forms import Unreadable, read
from tests.services.searcher.dialogues import check_chat, ended, grown, said_to, told
from tests.services.searcher.fakes import ANSWER, EOS, OTHER2, SLIP2, STEP1, STEP2, scripted, stage_of

WRONG = f"The answer is 34.{EOS}"
BOTH = ["continue", "backtrack"]


def stage(**fields):
    return stage_of(strategy="debate", critic="c", **fields)


def reply(verdict="correct", action="continue", to=0, reason="It follows."):
    return ended(json.dumps({"reason": reason, "verdict": verdict, "action": action, "to": to}))


def policy(messages, form, number):
    """Adds what should be taken away, is corrected, and answers."""
    assert form is None
    spoken = "\n".join(message.content for message in messages[1::2])
    lines = [OTHER2, WRONG, STEP2, ANSWER]
    return ended(next(line for line in lines if line.strip(f"\n{EOS}") not in spoken).strip(f"\n{EOS}"))


def critic(messages, form, number):
    """Finds the wrong answer's cause in step 2."""
    steps = form.schema["properties"]["to"]["enum"]
    assert steps[0] == 0
    if form.schema["properties"]["action"]["enum"] == ["backtrack"]:
        return reply("incorrect", "backtrack", min(1, steps[-1]), "He  loses\npens.")
    return reply()


async def debated(problem, saved=(), local=True, script=None, **fields):
    return await grown(problem, stage(**fields), script or scripted({"": [STEP1]}), policy, critic, saved, local)


async def test_the_critic_answers_every_step_until_the_answer_is_right(problem):
    tree, rounds, _, judge = await debated(problem)
    assert told(tree) == [
        ("step", 1, 0),
        ("critique", 1),
        ("step", 2, 1),
        ("critique", 2),
        ("step", 3, 2),
        ("feedback", 3),
        ("critique", 3),
        ("backtrack", 3, 1),
        ("step", 4, 1),
        ("critique", 4),
        ("step", 5, 4),
    ]
    critiques = [(one.verdict, one.text) for one in tree.remarks if one.kind == "critique"]
    assert critiques == [(Verdict.CORRECT, "It follows.")] * 2 + [
        (Verdict.INCORRECT, "He loses pens."),
        (Verdict.CORRECT, "It follows."),
    ]
    assert (tree.nodes[3].verdict, tree.nodes[3].reason, tree.nodes[3].verified) == (
        Verdict.INCORRECT,
        "He loses pens.",
        False,
    )
    assert (tree.nodes[4].verdict, tree.nodes[4].reason, tree.nodes[4].score) == (Verdict.CORRECT, "It follows.", 1.0)
    assert tree.nodes[5].verified and len(judge.said) == 4  # a right answer needs no critic
    assert tree.cost.rounds == len(rounds) == 9
    assert tree.cost.reward_tokens == sum(
        sum(len(message.content) for message in one["messages"]) + len(one["text"] + EOS) for one in judge.said
    )


async def test_policy_and_critic_read_what_was_said(problem):
    _, _, endpoint, judge = await debated(problem)
    for request in endpoint.said:
        check_chat(request["messages"])
    heard = [message.content for message in endpoint.said[-1]["messages"]]
    assert heard[1] == STEP1.strip() and heard[2].startswith("A critic finds that step 1 is correct: It follows.\n\nGo on.")
    assert [text for text in heard if "The answer 34 is wrong." in text and "Go back to step 1." in text]
    [question] = [message.content for message in judge.said[-1]["messages"]]
    assert (
        "Step 3: The answer is 34.\nAbout step 3: The answer 34 is wrong.\nCritic on step 3: incorrect. He loses pens." in question
    )
    assert f"The solution as it stands:\n1: {STEP1}2: {STEP2}" in question
    assert "The answer is 26" not in question and problem.question in question
    assert "Its answer is wrong." in said_to(judge.said[2]["messages"])


async def test_what_is_open_to_the_critic(problem):
    _, _, _, judge = await debated(problem)
    kinds = [request["form"].schema["properties"] for request in judge.said]
    assert [(one["verdict"]["enum"], one["action"]["enum"], one["to"]["enum"]) for one in kinds] == [
        (["correct", "incorrect"], BOTH, [0]),
        (["correct", "incorrect"], BOTH, [0, 1]),
        (["incorrect"], ["backtrack"], [0, 1, 2]),
        (["correct", "incorrect"], BOTH, [0, 1]),
    ]
    assert all(list(one) == ["reason", "verdict", "action", "to"] for one in kinds)


async def test_the_last_step_allowed_is_only_gone_back_from(problem):
    tree, _, _, judge = await debated(problem, max_depth=1, turns=2)
    assert max(node.depth for node in tree.nodes) == 1
    assert judge.said[0]["form"].schema["properties"]["action"]["enum"] == ["backtrack"]


async def test_stop_after_asks_for_another_way(problem):
    def speak(messages, form, number):
        return [STEP2, ANSWER][number] if number < 2 else ANSWER

    def judge(messages, form, number):
        properties = form.schema["properties"]
        return reply(properties["verdict"]["enum"][0], properties["action"]["enum"][0], 0)

    tree, _, _, critic_ = await grown(problem, stage(stop_after=2), scripted({"": [STEP1]}), speak, judge)
    assert [node.verified for node in tree.nodes if node.final] == [True, True]
    assert "another way is wanted" in said_to(critic_.said[2]["messages"])


@pytest.mark.parametrize(
    ("line", "verdict", "kept"),
    [
        (STEP2, "incorrect", (Verdict.INCORRECT, "So I say.", 1.0)),
        (STEP2, "correct", (Verdict.CORRECT, "So I say.", 1.0)),
        (SLIP2, "correct", (Verdict.INCORRECT, "30 - 4 = 26, not 24", 0.0)),
        (SLIP2, "incorrect", (Verdict.INCORRECT, "So I say.", 0.0)),
        ("He has pens.\n", "correct", (Verdict.CORRECT, "So I say.", 0.5)),
    ],
)
async def test_a_step_is_sound_only_if_neither_finds_fault_with_it(problem, line, verdict, kept):
    tree, _, _, _ = await grown(
        problem, stage(turns=1), scripted({"": [line]}), policy, lambda *_: reply(verdict, reason="So I say.")
    )
    node = tree.nodes[1]
    assert (node.verdict, node.reason, node.score) == kept
    assert tree.remarks[0].verdict == verdict  # the critic's own word stays


async def test_an_unreadable_answer_is_asked_for_again_then_fails_with_the_critics_words(problem):
    def mends(messages, form, number):
        return [ended("Looks good to me!"), reply(to=0)[:20], reply()][number]

    tree, _, _, judge = await grown(problem, stage(turns=1), scripted({"": [STEP1]}), policy, mends)
    assert tree.cost.format_errors == 2 and tree.nodes[1].reason == "It follows."
    assert [message.role for message in judge.said[1]["messages"]] == ["user", "assistant", "user"]
    assert "That could not be read: Invalid JSON" in said_to(judge.said[1]["messages"])
    assert "cut by the token limit" in said_to(judge.said[2]["messages"])
    with pytest.raises(Unreadable, match=r"critic fake://model: asked 3 times about the step .*'Looks good to me!'"):
        await grown(problem, stage(), scripted({"": [STEP1]}), policy, lambda *_: ended("Looks good to me!"))


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ('{"reason": "r", "verdict": "correct", "action": "continue", "to": 0}', None),
        ('```json\n{"reason": "r", "verdict": "correct", "action": "continue"}\n```', None),
        ('{"reason": "r", "verdict": "incorrect", "action": "backtrack", "to": 1}', None),
        ('{"reason": "r", "verdict": "incorrect", "action": "backtrack", "to": 2}', "to: a step number from 0 to 1 (got 2)"),
        ('{"reason": "r", "verdict": "incorrect", "action": "backtrack"}', "to: a step number from 0 to 1 (got None)"),
        ('{"reason": " ", "verdict": "correct", "action": "continue", "to": 0}', "reason: it is empty"),
        ('{"reason": "r", "verdict": "maybe", "action": "continue", "to": 0}', "verdict: Input should be 'correct' or 'incorrect'"),
        ('{"reason": "r", "verdict": "correct", "action": "continue", "to": "1"}', "to: Input should be a valid integer"),
        ('{"reason": "r", "verdict": "correct", "action": "continue", "to": 0, "mood": "good"}', "mood: Extra inputs"),
        ("fine", "Invalid JSON"),
    ],
)
def test_reading_the_critic(answer, wrong):
    if wrong is None:
        assert read_reply(answer, ["correct", "incorrect"], BOTH).reason == "r"
        return
    with pytest.raises(Unreadable) as error:
        read_reply(answer, ["correct", "incorrect"], BOTH)
    assert wrong in str(error.value)


def read_reply(answer, verdicts, actions, reason="stop"):
    """What the critic said of a step at depth 2."""
    return read(Choice(answer, (), reason), Reply, lambda reply: impossible(reply, verdicts, actions, 2))


def test_what_is_not_open_is_refused():
    answer = '{"reason": "r", "verdict": "correct", "action": "continue", "to": 0}'
    with pytest.raises(Unreadable, match="verdict: it can only be incorrect here"):
        read_reply(answer, ["incorrect"], BOTH)
    with pytest.raises(Unreadable, match="action: it can only be backtrack here"):
        read_reply(answer, ["correct"], ["backtrack"])
    with pytest.raises(Unreadable, match="cut by the token limit"):
        read_reply(answer, ["correct"], BOTH, "length")


@pytest.mark.parametrize("who", ["policy", "critic"])
async def test_a_full_context_ends_the_branch_and_the_tree_says_so(problem, who):
    def full(*_):
        raise RequestRefused(400, "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens")

    speakers = (full if who == "policy" else policy, full if who == "critic" else critic)
    tree, rounds, _, _ = await grown(problem, stage(), scripted({"": [STEP1]}), *speakers)
    assert [node.ended for node in tree.nodes] == [None, "context_overflow"]
    again, _, *endpoints = await grown(problem, stage(), scripted({"": [STEP1]}), *speakers, saved=rounds)
    assert again == tree and all(one.said == one.requests == [] for one in endpoints)


async def test_a_debate_without_a_critic_is_an_error(problem):
    with pytest.raises(ValueError, match="nobody plays the role `critic`"):
        await grown(problem, stage(), scripted({"": [STEP1]}), policy)


async def test_a_debate_cut_after_any_turn_ends_with_the_same_tree(problem):
    whole, rounds, _, _ = await debated(problem)
    for cut in range(len(rounds) + 1):
        tree, saved, *endpoints = await debated(problem, saved=rounds[:cut])
        assert tree == whole and saved == rounds
    assert all(one.said == one.requests == [] for one in endpoints)


async def test_an_endpoint_debates_in_chats(problem):
    def speak(messages, form, number):
        return STEP1 if len(messages) == 1 else policy(messages, form, number)

    tree, _, _, _ = await grown(problem, stage(), scripted({}), speak, critic, local=False)
    assert tree.nodes[-1].verified and all(node.token_ids == () for node in tree.nodes)


# -- invariants --------------------------------------------------------------------------------------------------------------------

LINES = st.sampled_from(
    [STEP1, STEP2, SLIP2, ANSWER, WRONG, f"The answer is 3.{EOS}", "\n", EOS, f"Done.{EOS}", "cut " * 40, "step 1: ok\n"]
)


@given(
    st.lists(LINES, min_size=1, max_size=20),
    st.lists(st.integers(0, 11), min_size=1, max_size=20),
    st.integers(1, 12),
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(1, 2)),
)
def test_every_debate_leaves_one_tree(lines, picks, turns, depth, stop_after):
    asyncio.run(_check_invariants(lines, picks, turns, depth, stop_after))


async def _check_invariants(lines, picks, turns, depth, stop_after):
    problem = Problem(id="p", question="Q?", answer="26")
    drawn, picked = count(), count()

    def speak(messages, form, number):
        check_chat(messages)
        return lines[next(drawn) % len(lines)]

    def judge(messages, form, number):
        properties, pick = form.schema["properties"], picks[next(picked) % len(picks)]
        return reply(*(properties[name]["enum"][pick % len(properties[name]["enum"])] for name in ("verdict", "action", "to")))

    one = stage(turns=turns, max_depth=depth, stop_after=stop_after)
    tree, rounds, _, _ = await grown(problem, one, lambda *_: lines[next(drawn) % len(lines)], speak, judge)
    assert ReasoningTree.model_validate_json(tree.model_dump_json()) == tree  # connected, remarks valid
    assert tree.cost.rounds == len(rounds) <= 2 * turns
    assert max(node.depth for node in tree.nodes) <= depth and len(tree.nodes) - 1 <= turns
    assert sum(node.verified is True for node in tree.nodes) <= (stop_after or 1)
    critiqued = {remark.node for remark in tree.remarks if remark.kind == "critique"}
    right = [node.id for node in tree.nodes if node.verified]
    assert {node.id for node in tree.nodes[1:]} - critiqued <= set(right[-1:])  # every turn of the policy is answered
    assert not [node for node in tree.nodes if node.verified is False and node.verdict is Verdict.CORRECT]
    assert tree.cost.completion_tokens >= tree.tree_tokens
    again, saved, _, _ = await grown(problem, one, lambda *_: "", speak, judge, saved=rounds)
    assert again == tree and saved == rounds
