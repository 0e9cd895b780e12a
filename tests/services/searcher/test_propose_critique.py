"""The policy chooses its actions: what each leaves in the tree, what the policy sees of it, and that a cut search goes on."""

import asyncio
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.searcher.dialogue import Unreadable, chosen
from shared.contracts.problem import Problem
from shared.contracts.tree import ReasoningTree, Verdict
from shared.engines.client import RequestRefused
from tests.services.searcher.dialogues import check_chat, ended, grown, said_to, told
from tests.services.searcher.fakes import ANSWER, EOS, OTHER2, STEP1, STEP2, scripted, stage_of

WRONG = f"The answer is 34.{EOS}"
PLAIN = {"": [STEP1], STEP1: [OTHER2], STEP1 + OTHER2: [WRONG]}
"""The plain path to a wrong answer."""
ACTIONS = ["continue", "continue", "reflect", "backtrack", "continue", "continue"]
SAID = ["I added what he loses.", "He loses pens.", STEP2.strip(), "The answer is 26."]


def stage(**fields):
    return stage_of(strategy="propose_critique", **fields)


def speaker(actions, lines, to="1"):
    """Plays actions and lines in turn; goes back to step `to`. What was said before is told from the dialogue alone."""

    def speak(messages, form, number):
        before = [message.content for message in messages]
        if form and "continue" not in form.choices and form.choices[0] == "0":
            return ended(to)
        if form:
            return ended(actions[done(before, actions)])
        return ended(lines[sum(line in part for part in before[1::2] for line in lines)])

    def done(before, actions):
        # the first three steps go by token ids: the speaker sees them in the chat as steps
        texts = "\n".join(before[1::2])
        steps = sum(text.strip(f"\n{EOS}") in texts for text in (OTHER2, WRONG))
        return steps + sum(line in texts for line in ("I added", "He loses pens", STEP2.strip(), "The answer is 26"))

    return speak


async def corrected(problem, saved=(), local=True, **fields):
    return await grown(
        problem, stage(**{"stop_after": 1, **fields}), scripted(PLAIN), speaker(ACTIONS, SAID), saved=saved, local=local
    )


async def test_a_wrong_answer_is_fed_back_thought_about_and_corrected(problem):
    tree, rounds, _, _ = await corrected(problem)
    assert told(tree) == [
        ("step", 1, 0),
        ("step", 2, 1),
        ("step", 3, 2),
        ("feedback", 3),
        ("reflection", 3),
        ("backtrack", 3, 1),
        ("step", 4, 1),
        ("step", 5, 4),
    ]
    texts = {remark.kind: remark.text for remark in tree.remarks}
    assert texts == {"feedback": "The answer 34 is wrong.", "reflection": SAID[0], "backtrack": SAID[1]}
    assert [node.verified for node in tree.nodes if node.final] == [False, True]
    assert tree.nodes[4].verdict is Verdict.CORRECT and tree.nodes[4].reason == "30 - 4 = 26 checks out"
    assert tree.cost.rounds == len(rounds) == 7  # one a turn
    assert tree.cost.format_errors == 0


async def test_the_policy_sees_all_that_it_tried_in_order(problem):
    _, _, endpoint, _ = await corrected(problem)
    for request in endpoint.said:
        check_chat(request["messages"])
    last = [message.content for message in endpoint.said[-1]["messages"]]
    assert last[1] == "\n".join(text.strip(f"\n{EOS}") for text in (STEP1, OTHER2, WRONG))
    assert last[2].startswith("The answer 34 is wrong.\n\nLook at step 3 again.")
    assert [last[3], last[5], last[7]] == SAID[:3]
    assert last[4].startswith("You go back from step 3 to step 1.")
    assert last[6].startswith("Go on after step 1, in another way than before.")


async def test_illegal_actions_are_not_offered(problem):
    _, _, endpoint, _ = await corrected(problem)
    choices = [request["form"].choices for request in endpoint.said if request["form"]]
    assert choices == [
        ("continue", "reflect", "backtrack"),  # after step 1: no answer to keep; at the start nothing is asked at all
        ("continue", "reflect", "backtrack"),
        ("reflect", "backtrack", "terminate"),  # after the wrong answer
        ("backtrack", "terminate"),  # no second thought about the same
        ("0", "1", "2"),
        ("continue", "reflect", "backtrack", "terminate"),
        ("continue", "reflect", "backtrack", "terminate"),
    ]


async def test_steps_go_by_ids_until_something_is_remarked_and_spell_the_path_ever_after(problem):
    tree, _, endpoint, _ = await corrected(problem)
    prompt = endpoint.requests[0]["prompt"]
    assert [request["prompt"] for request in endpoint.requests] == [
        prompt,
        prompt + [ord(char) for char in STEP1],
        prompt + [ord(char) for char in STEP1 + OTHER2],
    ]
    # said in the dialogue, ended by the end of the turn: the ids have the newline in its place
    assert "".join(map(chr, tree.nodes[4].token_ids)) == STEP2
    assert tree.nodes[4].tokens == len(STEP2)


async def test_an_endpoint_is_asked_the_same_in_chats(problem):
    def speak(messages, form, number):
        steps = sum(text.strip(f"\n{EOS}") in "\n".join(part.content for part in messages[1::2]) for text in (STEP1, OTHER2))
        if (form is None and "next line only: the next numbered" in said_to(messages)) or len(messages) == 1:
            return [STEP1, OTHER2, WRONG][steps]
        return speaker(ACTIONS, SAID)(messages, form, number)

    tree, _, _, _ = await grown(problem, stage(stop_after=1), scripted({}), speak, local=False)
    assert tree.remarks[-1].to == 1 and [node.verified for node in tree.nodes if node.final] == [False, True]
    assert all(node.token_ids == () and node.tokens > 0 for node in tree.nodes[1:])


async def test_terminate_gives_up_or_keeps_the_answer(problem):
    def give_up(messages, form, number):
        return ended("terminate" if "terminate" in form.choices else "continue")

    tree, rounds, _, _ = await grown(problem, stage(), scripted(PLAIN), give_up)
    assert [node.answer for node in tree.nodes if node.final] == ["34"] and tree.remarks[-1].kind == "feedback"
    assert tree.cost.rounds == len(rounds) == 3
    right = {"": [STEP1], STEP1: [STEP2], STEP1 + STEP2: [ANSWER]}
    tree, _, endpoint, _ = await grown(problem, stage(), scripted(right), give_up)
    assert tree.nodes[-1].verified and tree.remarks == ()
    assert "terminate: keep this answer" in said_to(endpoint.said[-1]["messages"])


async def test_a_step_that_stood_there_already_is_met_again_and_told(problem):
    actions = iter(["continue", "backtrack", "continue", "terminate"])

    def speak(messages, form, number):
        if form:
            return ended(next(actions) if "backtrack" in form.choices else "0")
        return ended("Once more." if "Say in one short sentence why" in said_to(messages) else STEP1.upper().strip())

    tree, _, _, _ = await grown(problem, stage(turns=4), scripted({"": [STEP1], STEP1: [OTHER2]}), speak)
    assert told(tree) == [("step", 1, 0), ("step", 2, 1), ("backtrack", 2, 0), ("feedback", 1)]
    assert tree.nodes[1].multiplicity == 2 and tree.cost.merged_steps == 1
    assert tree.remarks[-1].text == "You wrote this step before."


@pytest.mark.parametrize("where", ["action", "step"])
async def test_a_full_context_ends_the_branch_and_the_tree_says_so(problem, where):
    def full(*_):
        raise RequestRefused(400, "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens")

    def script(so_far, number, draw):
        return full() if so_far and where == "step" else STEP1

    def speak(messages, form, number):
        return full() if where == "action" else ended("continue")

    tree, rounds, _, _ = await grown(problem, stage(), script, speak)
    assert [node.ended for node in tree.nodes] == [None, "context_overflow"] and tree.cost.rounds == 2
    again, _, endpoint, _ = await grown(problem, stage(), script, speak, saved=rounds)
    assert again == tree and endpoint.said == endpoint.requests == []


async def test_a_full_context_after_an_answer_ends_the_branch_above_it(problem):
    def speak(messages, form, number):
        if "wrong" in said_to(messages):
            raise RequestRefused(400, "This model's maximum context length is 2048 tokens")
        return ended("continue")

    tree, _, _, _ = await grown(problem, stage(), scripted(PLAIN), speak)
    assert [node.ended for node in tree.nodes] == [None, None, "context_overflow", None]


async def test_another_refusal_fails_the_search_with_its_words(problem):
    def speak(messages, form, number):
        raise RequestRefused(400, "no grammar here")

    with pytest.raises(RequestRefused, match="no grammar here"):
        await grown(problem, stage(), scripted(PLAIN), speak)


async def test_an_unreadable_action_is_asked_for_again_then_fails_with_its_words(problem):
    def speak(messages, form, number):
        return ended("Hmm, continue or backtrack?" if number < 2 else "**Continue.**")

    tree, _, endpoint, _ = await grown(problem, stage(turns=2), scripted(PLAIN), speak)
    assert tree.cost.format_errors == 2 and len(tree.nodes) == 3
    assert [message.role for message in endpoint.said[2]["messages"][-3:]] == ["user", "assistant", "user"]
    assert "nothing else: continue, reflect, backtrack" in said_to(endpoint.said[2]["messages"])
    with pytest.raises(Unreadable, match=r"asked 3 times to choose one of continue, reflect, backtrack .*'I am lost'"):
        await grown(problem, stage(), scripted(PLAIN), lambda *_: ended("I am lost"))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("continue", "continue"),
        (" Continue.\n", "continue"),
        ("I want to backtrack!", "backtrack"),
        ("continue, not backtrack", None),
        ("discontinue", None),
        ("", None),
    ],
)
def test_an_action_in_an_answer(words, found):
    assert chosen(words, ["continue", "backtrack"]) == found


async def test_a_thought_that_is_cut_ends_with_its_last_whole_sentence(problem):
    thoughts = iter(["no end to this " * 20, "It holds. And then " + "so on " * 30])

    def speak(messages, form, number):
        return ended("reflect" if "reflect" in form.choices else "continue") if form else next(thoughts)

    tree, _, _, _ = await grown(problem, stage(turns=2), scripted(PLAIN), speak)
    assert [remark.text for remark in tree.remarks] == ["It holds."] and tree.cost.format_errors == 1


async def test_a_search_cut_after_any_turn_ends_with_the_same_tree(problem):
    whole, rounds, _, _ = await corrected(problem)
    for cut in range(len(rounds) + 1):
        tree, saved, again, _ = await corrected(problem, saved=rounds[:cut])
        assert tree == whole and saved == rounds
    assert again.said == again.requests == []


# -- invariants --------------------------------------------------------------------------------------------------------------------

LINES = st.sampled_from(
    [STEP1, STEP2, OTHER2, ANSWER, WRONG, f"The answer is 3.{EOS}", "\n", EOS, f"Done.{EOS}", "cut " * 40, "step 1: ok\n"]
)


@given(
    st.lists(LINES, min_size=1, max_size=20),
    st.lists(st.integers(0, 5), min_size=1, max_size=20),
    st.integers(1, 16),
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(1, 2)),
    st.booleans(),
)
def test_every_sequence_of_actions_leaves_one_tree(lines, picks, turns, depth, stop_after, local):
    asyncio.run(_check_invariants(lines, picks, turns, depth, stop_after, local))


async def _check_invariants(lines, picks, turns, depth, stop_after, local):
    problem = Problem(id="p", question="Q?", answer="26")
    one = stage(turns=turns, max_depth=depth, stop_after=stop_after)

    def model():
        drawn, picked = count(), count()

        def speak(messages, form, number):
            check_chat(messages)
            if form:
                assert len(form.choices) > 1
                return ended(form.choices[picks[next(picked) % len(picks)] % len(form.choices)])
            line = lines[next(drawn) % len(lines)]
            return line if "next line only" in said_to(messages) or len(messages) == 1 else ended("Because so.")

        return (lambda *_: lines[next(drawn) % len(lines)]), speak

    tree, rounds, _, _ = await grown(problem, one, *model(), local=local)
    assert ReasoningTree.model_validate_json(tree.model_dump_json()) == tree  # connected, remarks valid
    assert tree.cost.rounds == len(rounds) <= turns
    assert max(node.depth for node in tree.nodes) <= depth
    assert len(tree.nodes) - 1 + sum(remark.kind in ("reflection", "backtrack") for remark in tree.remarks) <= turns
    assert sum(node.verified is True for node in tree.nodes) <= (stop_after or turns)
    for node in tree.nodes:
        texts = [" ".join(kid.text.casefold().split()) for kid in tree.children[node.id]]
        assert len(set(texts)) == len(texts)
        assert not (tree.children[node.id] and node.ended == "no_answer")
    assert {one.node for one in tree.remarks if one.kind == "feedback"} >= {
        node.id for node in tree.nodes if node.verified is False
    }
    assert tree.cost.completion_tokens >= tree.tree_tokens
    again, saved, _, _ = await grown(
        problem, one.model_copy(update={"turns": len(rounds) or 1}), *model(), saved=rounds, local=local
    )
    assert again.nodes == tree.nodes and again.remarks == tree.remarks and saved == rounds
