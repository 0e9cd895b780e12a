"""longthought: the chat up to the assistant's turn, then every step's tokens and a newline's, whose label is the step's.

What a training with method `prm` makes (`services/trainer/prm.py`): a token classifier of two labels, class 1 is "right". The
separator is a token id put after the step's own tokens, never text that is tokenised with them.
"""

from collections.abc import Sequence

from shared.engines.prm.marking import Format, Marked, Tokens, sigmoid

SEPARATOR = "\n"


async def mark(tokens: Tokens, question: str, steps: Sequence[str]) -> Marked:
    """The chat up to the separator of the last step."""
    separator = await tokens.one(SEPARATOR)
    ids, positions = list(await tokens.chat([("user", question)])), []
    for step in steps:
        ids += [*await tokens.text(step), separator]
        positions.append(len(ids) - 1)
    return Marked(tuple(ids), tuple(positions))


def read(logits: Sequence[float]) -> float:
    """Probability of class 1, "right"."""
    return sigmoid(logits[1] - logits[0])


OWN = Format("longthought", mark, labels=2, read=read)
