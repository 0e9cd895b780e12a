"""Marking and read-out of every format, on a tokenizer of characters: what the model reads, and whose score stands where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.engines.client import EngineError
from shared.engines.prm import FORMATS
from shared.engines.prm.marking import Tokens, sigmoid
from shared.engines.prm.scorer import NoScore, Scorer
from tests.shared.engines.prm.fakes import FakePrm, ids_of, score_at, text_of

SYSTEM = "<|header|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|eot_id|>"
READS = {
    "math-shepherd": "<s>Q? one ки\ntwo ки",
    "rlhflow": "<|header|>user\nQ? one<|eot_id|><|header|>assistant\n+<|eot_id|><|header|>user\ntwo<|eot_id|><|header|>assistant\n",
    "skywork": "<|im_start|>Q?\none\ntwo\n",
    "longthought": "<|header|>user\nQ?<|eot_id|><|header|>assistant\none\ntwo\n",
    "qwen2.5-math-prm": f"{SYSTEM}<|header|>user\nQ?<|eot_id|><|header|>assistant\none<extra_0>two<extra_0>",
}
STEPS = {
    "one": ["5 * 6 = 30."],
    "several": ["5 * 6 = 30.", "30 - 4 = 26.", "The answer is 26."],
    "equal": ["again", "again", "again"],
    "trailing separators": ["one\n\n", "two\n", " three \n\n\n"],
    "empty lines inside": ["so:\n\n5 * 6 = 30\n\nand", "30\n\n\n- 4"],
    "marks inside": ["a ки b", "<extra_0>", "c ки", "ки", "+", "<|im_start|>x"],
    "unicode": ["∴ 5 × 6 = 30 ✓", "какие карточки", "日本語", "e\u0301 \U0001f600"],
}


@pytest.mark.parametrize("prm", FORMATS)
async def test_what_the_model_reads(prm):
    marked = await FORMATS[prm].mark(Tokens(FakePrm(prm)), "Q?", ["one", "two"])
    assert text_of(marked.ids) == READS[prm]
    upto = await FORMATS[prm].mark(Tokens(FakePrm(prm)), "Q?", ["one"])
    assert marked.ids[: len(upto.ids)] == upto.ids  # children share their path's tokens
    assert marked.positions == (len(upto.ids) - 1, len(marked.ids) - 1)


@pytest.mark.parametrize("only_marks", [False, True])
@pytest.mark.parametrize("prm", FORMATS)
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
async def test_every_step_has_the_score_at_its_own_mark(prm, steps, only_marks):
    endpoint = FakePrm(prm, only_marks=only_marks)
    (path,) = await Scorer(endpoint).score("Q?\nки <extra_0>", [steps])
    ids = ids_of(endpoint.requests[0][0])
    ends = [len((await FORMATS[prm].mark(Tokens(endpoint), "Q?\nки <extra_0>", _stripped(steps[:n]))).ids) for n in _upto(steps)]
    assert path.scores == pytest.approx([score_at(ids, end - 1) for end in ends])
    assert path.tokens == ends[-1] == len(ids)


async def test_lines_of_a_step_are_read_and_only_the_last_one_scores_it():
    endpoint = FakePrm("skywork")
    (path,) = await Scorer(endpoint).score("Q?", [["a\n\nb", "c"]])
    assert endpoint.requests == [["<|im_start|>Q?\na\n\nb\nc\n"]]
    ids = ids_of(endpoint.requests[0][0])
    assert path.scores == pytest.approx([score_at(ids, 8), score_at(ids, 10)])  # not at 5 and 6


@given(
    steps=st.lists(st.text(min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=6),
    question=st.text(min_size=1, max_size=12),
    prm=st.sampled_from(sorted(FORMATS)),
)
async def test_as_many_scores_as_steps(steps, question, prm):
    paths = [steps, steps[:1]]
    found = await Scorer(FakePrm(prm)).score(question, paths)
    assert [len(path.scores) for path in found] == [len(steps), 1]
    assert all(0 <= score <= 1 for path in found for score in path.scores)


async def test_one_request_for_all_paths_and_no_text_is_tokenised_twice():
    endpoint = FakePrm("math-shepherd")
    scorer = Scorer(endpoint)
    await scorer.score("Q?", [["one"], ["two"]])
    await scorer.score("Q?", [["one", "three"], ["two", "three"], ["one", "four"]])
    assert [len(texts) for texts in endpoint.requests] == [2, 3]
    assert scorer.spent == sum(len(ids_of(text)) for texts in endpoint.requests for text in texts)
    assert len(endpoint.tokenized) == len(set(endpoint.tokenized))


@pytest.mark.parametrize("prm", FORMATS)
async def test_a_path_longer_than_the_window_has_no_score_and_is_not_cut(prm):
    short, long = ["one"], ["one", "x" * 300]
    endpoint = FakePrm(prm, window=len((await FORMATS[prm].mark(Tokens(FakePrm(prm)), "Q?", short)).ids))
    found = await Scorer(endpoint).score("Q?", [long, short, long])
    assert [path.scores is None for path in found] == [True, False, True]
    assert [len(texts) for texts in endpoint.requests] == [1]
    assert found[0].tokens > 300


@pytest.mark.parametrize("steps", [[], [""], ["one", " \n"], ["one", "", "two"]])
async def test_blank_steps_are_refused(steps):
    with pytest.raises(NoScore, match="without steps, or with a blank one"):
        await Scorer(FakePrm("skywork")).score("Q?", [["one"], steps])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda outputs: outputs[0].pop(), r"gave outputs for 5 of 6 tokens \(1 marks\)"),
        (lambda outputs: outputs[0][-1].append(0.0), "gave 3 outputs for a token, where `prm: math-shepherd` has 2"),
    ],
)
async def test_an_answer_of_another_size(change, message):
    endpoint = FakePrm("math-shepherd")
    endpoint.change = change
    with pytest.raises(EngineError, match=rf"fake://prm \(prm: math-shepherd\) {message}"):
        await Scorer(endpoint).score("Q", [["a"]])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
async def test_a_score_that_is_none(value):
    endpoint = FakePrm("math-shepherd")
    endpoint.change = lambda outputs: outputs[0].__setitem__(-1, [value, value])
    with pytest.raises(NoScore, match="for a step: no score"):
        await Scorer(endpoint).score("Q", [["a"]])


async def test_another_models_tokenizer_is_found_out():
    class Other(FakePrm):
        async def tokenize(self, text: str, *, special: bool = False) -> list[int]:
            return [ord(char) for char in text]

    with pytest.raises(EngineError, match="makes 9 tokens of the mark '<extra_0>'.* is `prm: qwen2.5-math-prm` the format"):
        await Scorer(Other("qwen2.5-math-prm")).score("Q", [["a"]])
    with pytest.raises(EngineError, match="is no process reward model"):
        Scorer(FakePrm(""))


async def test_a_template_that_changes_earlier_turns_is_found_out():
    class Counts(FakePrm):
        async def tokenize_chat(self, messages) -> list[int]:
            return [len(messages), *await super().tokenize_chat(messages)]

    with pytest.raises(EngineError, match="rlhflow: the tokens of a path changed when a step was added"):
        await Scorer(Counts("rlhflow")).score("Q", [["a", "b"]])


@given(st.floats(-1e300, 1e300))
def test_the_sigmoid_stays_in_range(value):
    assert 0 <= sigmoid(value) <= 1
    assert sigmoid(value) + sigmoid(-value) == pytest.approx(1)


def _stripped(steps):
    return [step.strip() for step in steps]


def _upto(steps):
    return range(1, len(steps) + 1)
