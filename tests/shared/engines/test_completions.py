"""What a server's answers hold, sound and broken: texts, reasoning, token counts."""

import math

import pytest

from shared.engines.client import (
    Choice,
    EngineError,
)
from shared.engines.completions import split_reasoning
from tests.shared.engines.endpoints import HELLO, KEY, SAMPLING, recorder
from tests.shared.engines.scripted import Reply, chat, choices


@pytest.mark.parametrize(
    ("message", "choice"),
    [
        (chat("2", reasoning_content="one and one"), Choice("2", (), "stop", "one and one")),
        (chat("2", reasoning="one and one"), Choice("2", (), "stop", "one and one")),
        (chat(None, reasoning="cut"), Choice("", (), "stop", "cut")),
        (chat("<think>\none and one\n</think>\n\n2"), Choice("2", (), "stop", "one and one")),
    ],
)
async def test_reasoning(server, hosted, message, choice):
    server.script = [Reply(message)]
    assert (await hosted.chat(HELLO, sampling=SAMPLING)).choices == (choice,)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", (None, "plain")),
        ("<think>a</think>b", ("a", "b")),
        ("a</think>b", ("a", "b")),  # the template opened the tag
        ("<think>cut", ("cut", "")),
        ("about <think> tags", (None, "about <think> tags")),
        ("about <think>tags</think> x", (None, "about <think>tags</think> x")),
    ],
)
def test_split_reasoning(text, parts):
    assert split_reasoning(text) == parts


@pytest.mark.parametrize("figure", [-1, "7", "many", float("nan"), float("inf"), 1e30, 1.5, True, [7], {}])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
async def test_usage_that_is_nonsense_is_refused_and_what_is_sound_of_it_counted(server, hosted, name, figure):
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    server.script = [Reply({**choices("x"), "usage": {**usage, name: figure}})]
    rows, record = recorder()
    if not figure:  # an empty object: no figure at all
        await hosted.metered("teacher", record).complete("q", sampling=SAMPLING)
    else:
        with pytest.raises(EngineError, match=rf"usage\.{name} .*cannot be counted"):
            await hosted.metered("teacher", record).complete("q", sampling=SAMPLING)
    [row] = rows
    assert {"prompt_tokens": row.prompt_tokens, "completion_tokens": row.completion_tokens} == {**usage, name: 0}
    assert row.requests == 1 and math.isfinite(row.cost) and row.cost >= 0


@pytest.mark.parametrize(("usage", "refused"), [(None, False), ({}, False), ([], False), ("much", True), ([1], True)])
async def test_a_server_may_tell_no_usage_but_no_other_kind_of_it(server, hosted, usage, refused):
    server.script = [Reply({**choices("x"), "usage": usage})]
    rows, record = recorder()
    asked = hosted.metered("teacher", record).complete("q", sampling=SAMPLING)
    if refused:
        with pytest.raises(EngineError, match="usage .*cannot be counted"):
            await asked
    else:
        assert (await asked).completion_tokens == 0
    assert [(row.requests, row.prompt_tokens, row.completion_tokens) for row in rows] == [(1, 0, 0)]


@pytest.mark.parametrize(
    "broken",
    [{"choices": None}, {"choices": []}, {"choices": {}}, {"choices": "x"}, {}, {"error": {"message": f"no credit, {KEY}"}}],
)
async def test_an_answer_without_choices_is_refused_in_its_own_words(server, hosted, broken):
    server.script = [Reply({**broken, "usage": {"prompt_tokens": 3}})]
    rows, record = recorder()
    with pytest.raises(EngineError, match="without choices: ") as caught:
        await hosted.metered("teacher", record).complete("q", sampling=SAMPLING)
    assert KEY not in str(caught.value)
    assert "error" not in broken or "no credit, ***" in str(caught.value)
    assert [row.prompt_tokens for row in rows] == [3]


@pytest.mark.parametrize(
    "choice",
    [
        None,
        "x",
        {},
        {"finish_reason": "stop"},
        {"text": None, "finish_reason": "stop"},
        {"text": ["x"], "finish_reason": "stop"},
        {"text": f"x {KEY}"},
        {"text": "x", "finish_reason": None},
        {"text": "x", "finish_reason": ""},
        {"text": "x", "finish_reason": 3},
    ],
)
async def test_a_choice_that_cannot_be_read_is_refused(server, hosted, choice):
    server.script = [Reply({"choices": [choice]})]
    with pytest.raises(EngineError, match="cannot be read") as caught:
        await hosted.complete("q", sampling=SAMPLING)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("message", [None, "x", [], {"content": 7}, {"content": [{"text": "x"}]}, {"content": "x", "reasoning": 1}])
async def test_a_message_that_cannot_be_read_is_refused(server, hosted, message):
    server.script = [Reply({"choices": [{"message": message, "finish_reason": "stop"}]})]
    with pytest.raises(EngineError, match="cannot be read"):
        await hosted.chat(HELLO, sampling=SAMPLING)


async def test_half_a_character_is_mended_where_it_comes_in(server, hosted):
    server.script = [Reply(choices("half \ud83d, whole \U0001f600")), Reply(chat("<think>\udc00</think>\ud800"))]
    assert (await hosted.complete("q", sampling=SAMPLING)).choices[0].text == "half \ufffd, whole \U0001f600"
    [choice] = (await hosted.chat(HELLO, sampling=SAMPLING)).choices
    assert (choice.reasoning, choice.text) == ("\ufffd", "\ufffd")


async def test_a_number_that_json_does_not_know_is_no_matter_where_nobody_reads_it(server, hosted):
    server.script = [Reply(choices("x", logprobs={"token_logprobs": [float("nan")]}))]
    assert (await hosted.complete("q", sampling=SAMPLING)).choices[0].text == "x"
