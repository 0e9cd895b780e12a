"""rlhflow: a chat in which the user says one step a turn, the question before the first, and the assistant says `+` to each.

A step's score is the softmax over the logits of `+` and `-` one position before the assistant's `+`: where that turn begins. From
https://github.com/RLHFlow/RLHF-Reward-Modeling/blob/main/math-rm/prm_evaluate.py:

    text = question + " " + steps[0]           # the first turn; then steps[k]
    conversation.append({"content": text, "role": "user"});  conversation.append({"content": "+", "role": "assistant"})
    logits = model(input_ids).logits[:, -3, [plus_tag_id, minus_tag_id]];  scores = logits.softmax(dim=-1)[:, 0]

(-3: before `+` and the turn's end.) Earlier steps stay with the assistant's `+`, however they scored, as there.
"""

from collections.abc import Sequence

from shared.engines.prm.marking import Format, Marked, Tokens, grown, sigmoid


async def mark(tokens: Tokens, question: str, steps: Sequence[str]) -> Marked:
    """The chat up to where the assistant answers the last step."""
    turns, ids, positions = list[tuple[str, str]](), list[int](), list[int]()
    for step in steps:
        turns.append(("user", step if turns else f"{question} {step}"))
        longer = await tokens.chat(turns)
        grown(ids, longer, RLHFLOW.name)
        ids = longer
        positions.append(len(ids) - 1)
        turns.append(("assistant", "+"))
    return Marked(tuple(ids), tuple(positions))


def read(logits: Sequence[float]) -> float:
    """Probability of `+`, whose logit comes first."""
    return sigmoid(logits[0] - logits[1])


RLHFLOW = Format(
    "rlhflow", mark, labels=2, read=read, overrides={"method": "no_post_processing", "classifier_from_token": ["+", "-"]}
)
