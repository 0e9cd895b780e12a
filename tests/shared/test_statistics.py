"""Figures of texts."""

import pytest

from shared.contracts.thought import Role, Span
from shared.statistics import Statistics, words_of


def test_figures_of_two_texts():
    statistics = Statistics()
    assert statistics.figures() == {}
    spans = [Span(text="x", role=role, node_id=1) for role in (Role.WRONG_STEP, Role.REFLECTION, Role.BACKTRACK, Role.CONCLUSION)]
    statistics.add("Wait, 5 * 6 = 30.\n\nSo wait.\nThe answer is 30.", spans)
    statistics.add("The answer is 1,000.", spans[-1:])
    figures = statistics.figures()
    assert figures["texts"] == 2 and figures["lines"] == 2 and figures["words a line"] == 4
    assert figures["tokens"] == (8 + 3 + 5 + 5) / 2 and figures["most tokens"] == 16
    assert figures["ngram wait"] == 1.0 and figures["ngram so"] == 0.5
    assert figures["share without wrong turn"] == figures["share with one wrong turn"] == 0.5
    assert figures["wrong steps"] == 0.5 and statistics.turns == {0: 1, 1: 1}


@pytest.mark.parametrize(
    ("ngram", "text", "times"),
    [
        ("wait", "Wait, the waiter waits. WAIT", 2),
        ("let me", "Let me see: let\n me, outlet me, let men", 2),
        ("naïve", "naïve naïvely", 1),
        ("подожди", "Подожди, подождите", 1),
        ("等", "好的,等等我", 2),
        ("等等", "好的等等我再想想", 1),
        ("wait", "我wait一下", 1),  # no letter of a spaced script on either side: a word of its own
        ("等wait", "等等wait一下 等waiter", 1),
        ("ちょっと待って", "うーん、ちょっと待ってください", 1),
        ("รอ", "เดี๋ยวรอก่อน", 1),
        ("x2", "x2 x22 ax2 2x2", 1),
        ("wait?", "wait?no, await?", 1),
        (" wait ", "await wait", 1),
    ],
)
def test_n_grams_are_whole_words_where_words_are_set_apart(ngram: str, text: str, times: int) -> None:
    assert len(words_of(ngram).findall(text)) == times
    statistics = Statistics((ngram,))
    statistics.add(text)
    assert statistics.figures()[f"ngram {ngram}"] == times
