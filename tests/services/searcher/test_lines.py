"""A whole solution cut into lines: every token id in its place, whatever a vocabulary's tokens reach over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.searcher.lines import cut_by_ids, cut_by_length
from shared.engines.client import EngineError

TEXTS = st.text(st.sampled_from("ab \n"), max_size=30)


@st.composite
def tokenised(draw) -> tuple[str, list[str]]:
    """A text and its tokens, cut anywhere."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=20)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return text, [piece for piece in pieces if piece]


@given(tokenised(), st.booleans())
def test_ids_put_together_again_are_those_that_were_sampled(case, whole):
    text, pieces = case
    vocabulary = sorted(set(pieces))
    ids = [vocabulary.index(piece) for piece in pieces] + [-1] * whole  # the end of sequence says nothing
    breaks = {place: piece for place, piece in enumerate(vocabulary) if "\n" in piece}
    steps = cut_by_ids(text, ids, breaks, whole)
    assert [step.text for step in steps] == ([line for line in text.split("\n") if line.strip()] or [text.split("\n")[-1]])
    put_together = [token for step in steps for token in step.token_ids]
    if whole or text.split("\n")[-1].strip() or not text.strip():
        assert put_together == ids
        assert steps[-1].end == ("text" if whole else "cut")
    else:  # cut within a blank line at the end: no step is lost
        assert put_together == ids[: len(put_together)] and steps[-1].end == "line"
    assert all(step.end == "line" for step in steps[:-1])
    for count, step in enumerate(steps[:-1], start=1):  # a path of any length says all of its steps, and beyond only what spills
        written = "".join(vocabulary[token] for one in steps[:count] for token in one.token_ids)
        upto = len("".join(text.splitlines(keepends=True)[: lines_until(text, count)]))
        assert written.startswith(text[:upto])
        assert bool(written[upto:].strip()) == step.spills
    assert [step.tokens for step in steps] == [len(step.token_ids) for step in steps]


def lines_until(text: str, steps: int) -> int:
    """How many lines it takes to have so many that are not blank."""
    full = [number for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return full[steps - 1]


@pytest.mark.parametrize(
    ("pieces", "steps"),
    [
        (["one", "\n", "two", ""], [("one", 2, "line", False), ("two", 2, "text", False)]),
        (["one", "\n\n", "two"], [("one", 2, "line", False), ("two", 1, "text", False)]),  # the blank line comes with its token
        (["one", "\n", "\n", "two"], [("one", 2, "line", False), ("two", 2, "text", False)]),  # and with what follows it
        (["one", "\ntw", "o"], [("one", 2, "line", True), ("two", 1, "text", False)]),
        (["one", "\n  ", "two"], [("one", 2, "line", False), ("  two", 1, "text", False)]),
        (["one\ntwo\nthr", "ee"], [("one", 1, "line", True), ("two", 0, "line", True), ("three", 1, "text", False)]),
        (["one", "\n", "\n", ""], [("one", 4, "text", False)]),  # the model ended its text after the newline
        ([""], [("", 1, "text", False)]),
    ],
)
def test_where_a_token_belongs(pieces, steps):
    cut = cut_by_ids("".join(pieces), range(len(pieces)), {place: one for place, one in enumerate(pieces) if "\n" in one}, True)
    assert [(step.text, step.tokens, step.end, step.spills) for step in cut] == steps


def test_a_text_whose_ids_have_other_lines_is_refused():
    with pytest.raises(EngineError, match=r"the engine's text has 2 lines, its token ids 1: 'a\\nb', \[1, 2\]"):
        cut_by_ids("a\nb", [1, 2], {}, True)


def test_tokens_are_shared_out_by_length_where_no_ids_are_told():
    cut = cut_by_length("four\n\neighteen", 0.5, False)
    assert [(step.text, step.token_ids, step.tokens, step.end) for step in cut] == [
        ("four", (), 2, "line"),
        ("eighteen", (), 4, "cut"),
    ]
