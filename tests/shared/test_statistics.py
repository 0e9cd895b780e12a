"""Figures of texts."""

from shared.contracts.thought import Role, Span
from shared.statistics import Statistics


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
