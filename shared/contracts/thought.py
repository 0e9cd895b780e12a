"""What training data is made of: LongThought, Shortcut, Response, Example, PreferencePair, StepLabels.

Everything that can be trained on has `question` and `completion`; the chat messages follow from these two in one place
(`messages`).
"""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen, Message, Origin, Record
from shared.contracts.grading import Judgement
from shared.contracts.rewards import Scoring

Split = Literal["train", "test"]


class Role(StrEnum):
    """What a span does in a thought."""

    STEP = "step"
    """A step on the path to the answer."""
    WRONG_STEP = "wrong_step"
    """A step off the path, walked before backtracking."""
    REFLECTION = "reflection"
    """Words that say what was wrong (or doubtful) in the steps before."""
    BACKTRACK = "backtrack"
    """Words that lead back to an earlier point."""
    VERIFICATION = "verification"
    """A re-check of right steps or of the answer."""
    CONCLUSION = "conclusion"
    """The step that states the final answer."""


class Span(Frozen):
    """A piece of a thought's text and the tree node it stands for.

    `node_id` is the step itself for STEP, WRONG_STEP and CONCLUSION; the wrong node for REFLECTION; the node returned to
    for BACKTRACK;
    the node checked for VERIFICATION.
    """

    text: Annotated[str, Field(min_length=1)]
    role: Role
    node_id: int


class Trainable(Record):
    """Anything a model can be trained on: a question and the completion to learn."""

    id: str
    problem_id: str
    question: str
    answer: str
    split: Split = "train"
    origin: Origin

    @property
    def completion(self) -> str:
        """The assistant's text, without leading or trailing white space."""
        raise NotImplementedError(type(self).__name__)

    def messages(self, instruction: str) -> tuple[Message, ...]:
        """The chat of this sample. `instruction` is the rendered user turn (prompt `solve`)."""
        return Message(role="user", content=instruction), Message(role="assistant", content=self.completion)


class Walked(Trainable):
    """A walk through a reasoning tree, as spans that lead back to its nodes."""

    tree_id: str
    spans: Annotated[tuple[Span, ...], Field(min_length=1)]
    leaf_id: int
    """The verified leaf at the walk's end."""

    @property
    def completion(self) -> str:
        """The spans' texts joined; each span carries its own white space."""
        return "".join(span.text for span in self.spans).strip()

    def count(self, role: Role) -> int:
        """How many spans have this role."""
        return sum(span.role is role for span in self.spans)


class LongThought(Walked):
    """The text of a whole exploration: trials, reflections, backtracks, then the correct path."""

    refiner: Literal["template", "llm", "template-fallback"]
    refiner_prompt: str | None = None
    refiner_model: str | None = None
    draft: str = ""
    """The draft before refinement."""
    draw: int = 0
    """Number of the thought within its tree."""

    @model_validator(mode="after")
    def _reflections_follow_wrong_steps(self) -> Self:
        if self.spans[-1].role not in (Role.CONCLUSION, Role.VERIFICATION):
            raise ValueError(f"thought {self.id}: ends with {self.spans[-1].role}, not with its conclusion")
        return self


class Shortcut(Walked):
    """The correct path alone."""


class Response(Trainable):
    """One sampled answer of a model: a teacher's sample, or an evaluation's."""

    text: str
    choices: tuple[str, ...] = ()
    """The choices that were asked, in the order of their letters: what `extracted` is a letter of. Empty where there were none."""
    reasoning: str | None = None
    """What a reasoning model put into a separate field or between <think> tags."""
    model: str
    draw: int = 0
    finish_reason: str
    extracted: str | None = None
    """The final answer found in `text`; of choices, its letter; where a judge was asked, its verdict, so that a majority is one of
    verdicts. None when it states none, or did not attempt to."""
    verified: bool
    judgement: Judgement | None = None
    """What the judge said, where one was asked."""
    grading_error: str | None = None
    """Why the answer could not be graded; it then counts neither as right nor as wrong."""
    grader: str = ""
    """What found and graded the answer (`shared/answers/version.py`); '' where a judge did, and in older records."""
    scoring: Scoring | None = None
    """What a process reward model said of the lines of `text`, where one was asked."""
    prompt_tokens: Annotated[int, Field(ge=0)]
    completion_tokens: Annotated[int, Field(ge=0)]
    tokens_estimated: bool = False
    """Whether `completion_tokens` is a share, by length of text, of what the server told for several answers together."""
    forced: Annotated[int, Field(ge=0)] = 0
    """How often budget forcing made the response go on, or answer; the words that did so are in `text`, not in the tokens."""

    @property
    def completion(self) -> str:
        """The reasoning, if any, then the text."""
        return (f"{self.reasoning.strip()}\n\n{self.text}" if self.reasoning else self.text).strip()

    @property
    def weight(self) -> float | None:
        """The weight of its vote; None where it was not scored, or could not be."""
        return None if self.scoring is None else self.scoring.weight


class Example(Trainable):
    """An imported sample: a publisher's worked solution, or an existing chat."""

    text: str
    chat: tuple[Message, ...] = ()
    """The turns before the completion, where an existing chat was imported; empty: the rendered instruction is the one turn."""

    @property
    def completion(self) -> str:
        """The worked solution as the assistant's text."""
        return self.text.strip()

    def messages(self, instruction: str) -> tuple[Message, ...]:
        """An imported chat's own turns before the completion; without them, as any other sample's."""
        return (*self.chat, Message(role="assistant", content=self.completion)) if self.chat else super().messages(instruction)


class PreferencePair(Record):
    """A preferred and a rejected completion of one question (or of one prefix of a solution)."""

    id: str
    problem_id: str
    question: str
    prefix: str = ""
    """Steps that both sides share and that the prompt ends with; empty for pairs of whole responses."""
    chosen: str
    rejected: str
    split: Split = "train"
    tree_id: str | None = None
    chosen_node: int | None = None
    rejected_node: int | None = None
    origin: Origin


class StepLabels(Record):
    """A beginning of a solution with a label for each step: what a process reward model is trained on."""

    id: str
    problem_id: str
    question: str
    split: Split = "train"
    tree_id: str
    steps: Annotated[tuple[str, ...], Field(min_length=1)]
    labels: tuple[bool, ...]
    """Whether each step is right; a wrong one is the last."""
    node_ids: tuple[int, ...]
    how: Literal["verdicts", "values"]
    """Whose labels: the judge's verdicts, or what solutions that go on from the step came to."""
    origin: Origin

    @model_validator(mode="after")
    def _each_step_has_its_label(self) -> Self:
        if not len(self.steps) == len(self.labels) == len(self.node_ids):
            raise ValueError(f"labels {self.id}: {len(self.steps)} steps, {len(self.labels)} labels, {len(self.node_ids)} nodes")
        if not all(self.labels[:-1]):
            raise ValueError(f"labels {self.id}: a wrong step is followed by others")
        return self
