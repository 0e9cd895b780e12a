"""qwen2.5-math-prm: the model's chat template, the solution in the assistant's turn, `<extra_0>` after every step.

`<extra_0>` (id 151651) is one special token, so what stands on its two sides is tokenised apart, and parts make up the whole.
A step's score is class 1 of the two-class softmax there. From https://huggingface.co/Qwen/Qwen2.5-Math-PRM-7B, Quick Start (and
alike https://huggingface.co/Qwen/Qwen2.5-Math-7B-PRM800K):

    messages = [{"role": "system", "content": "Please reason step by step, and put your final answer within \\\\boxed{}."},
                {"role": "user", "content": query}, {"role": "assistant", "content": "<extra_0>".join(response) + "<extra_0>"}]
    token_masks = (input_ids == step_sep_id);  step_rewards = softmax(logits)[token_masks][:, 1]

The model's window is 4,096 tokens; a path that is longer has no score (plain truncation would drop its newest steps).
"""

from collections.abc import Sequence

from shared.engines.prm.marking import Format, Marked, Tokens, sigmoid

MARK = "<extra_0>"
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


async def mark(tokens: Tokens, question: str, steps: Sequence[str]) -> Marked:
    """The chat up to the mark of the last step."""
    separator = await tokens.one(MARK)
    ids, positions = list(await tokens.chat([("system", SYSTEM), ("user", question)])), []
    for step in steps:
        ids += [*await tokens.text(step), separator]
        positions.append(len(ids) - 1)
    return Marked(tuple(ids), tuple(positions))


def read(logits: Sequence[float]) -> float:
    """Probability of class 1, "positive"."""
    return sigmoid(logits[1] - logits[0])


QWEN = Format("qwen2.5-math-prm", mark, labels=2, read=read)
