"""math-shepherd: question, a space, then the steps, a line each, every one followed by ` ки`.

The model goes on with `+` (right) or `-` (wrong) after each ` ки` (id 12902 of Mistral's tokenizer; the signs are 648 and 387); a
step's score is the softmax over these two logits there. As its card has it:
https://huggingface.co/peiyi9979/math-shepherd-mistral-7b-prm

    input_for_prm = f"{question} {output}"    # "Janet's ducks ... Step 1: ... 16 eggs per day. ки\\nStep 2: ... eggs left. ки"
    logits = model(input_id).logits[:, :, candidate_tokens];  scores = logits.softmax(dim=-1)[:, :, 0]
    step_scores = scores[input_id == step_tag_id]

The whole text is tokenised at once, as there: SentencePiece would put a space before each part. A ` ки` that a step itself holds
is no mark: positions come from the text's growth, not from a search for the id.
"""

from collections.abc import Sequence

from shared.engines.errors import EngineError
from shared.engines.prm.marking import Format, Marked, Tokens, grown, sigmoid

TAG = "ки"


async def mark(tokens: Tokens, question: str, steps: Sequence[str]) -> Marked:
    """The question and the marked steps as one text."""
    tag = await tokens.one(TAG)
    text, ids, positions = question, list[int](), list[int]()
    for step in steps:
        text += ("\n" if positions else " ") + f"{step} {TAG}"
        longer = await tokens.text(text, special=True)
        grown(ids, longer, MATH_SHEPHERD.name)
        if longer[-1] != tag:
            raise EngineError(f"{MATH_SHEPHERD.name}: the mark {TAG!r} after {step!r} is not the token {tag}, but {longer[-1]}")
        ids = longer
        positions.append(len(ids) - 1)
    return Marked(tuple(ids), tuple(positions))


def read(logits: Sequence[float]) -> float:
    """Probability of `+`, whose logit comes first."""
    return sigmoid(logits[0] - logits[1])


MATH_SHEPHERD = Format(
    "math-shepherd",
    mark,
    labels=2,
    read=read,
    # two rows of the language model's head, by their names in a SentencePiece vocabulary, are the classifier
    overrides={"method": "no_post_processing", "classifier_from_token": ["▁+", "▁-"]},
)
