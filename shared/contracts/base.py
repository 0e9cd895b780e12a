"""The base of every contract: frozen, versioned, unknown keys refused."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A part of a record: immutable, refuses unknown keys, and NaN is not a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Record(Frozen):
    """A whole record, as stored in the ledger and in files. `version` rises when its JSON changes shape."""

    version: Literal[1] = 1


class Message(Frozen):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class Origin(Frozen):
    """Where a record came from: enough to lead a sentence of training data back to what made it."""

    run_id: str
    stage: str
    model: str | None = None
    """The model's URI (a path, a hub id or an endpoint's model name)."""
    prompt: str | None = None
    """Name and version of the prompt, as `solve@1`; of several, with spaces between."""
    seed: int | None = None
