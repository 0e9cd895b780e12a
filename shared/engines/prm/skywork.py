"""skywork: BOS (`<|im_start|>`), question, newline; then the steps, and after every line a newline token.

Lines are tokenised one by one, and the newline's *id* is appended: joined as text, ".\\n" would be one token. The value head's
output at a newline, through a sigmoid, is that line's score. From `prepare_input` and `derive_step_rewards` of
https://github.com/SkyworkAI/skywork-o1-prm-inference/blob/main/model_utils/io_utils.py:

    prompt_ids = tokenizer.encode(tokenizer.bos_token + problem + "\\n")
    for step in response.split("\\n"):  step_ids = tokenizer.encode(step) if step != "" else [];  step_ids += [step_token_id]

Every line is scored there, blank ones too. Here a step's score is that at the end of its last line; its other lines' newlines stay
where they are, and are read by nobody. BOS: https://huggingface.co/Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B/blob/main/special_tokens_map.json
"""

from collections.abc import Sequence

from shared.engines.prm.marking import Format, Marked, Tokens, sigmoid

BOS = "<|im_start|>"
SEPARATOR = "\n"


async def mark(tokens: Tokens, question: str, steps: Sequence[str]) -> Marked:
    """The question, then lines with their separator's id."""
    separator = await tokens.one(SEPARATOR)
    await tokens.one(BOS)
    ids, positions = list(await tokens.text(f"{BOS}{question}{SEPARATOR}")), []
    for step in steps:
        for line in step.split(SEPARATOR):
            ids += [*(await tokens.text(line) if line else ()), separator]
        positions.append(len(ids) - 1)
    return Marked(tuple(ids), tuple(positions))


def read(logits: Sequence[float]) -> float:
    """The value head's output as a probability."""
    return sigmoid(logits[0])


SKYWORK = Format("skywork", mark, labels=1, read=read)
