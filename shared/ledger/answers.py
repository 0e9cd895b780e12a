"""Answers that were paid for, by a digest of what was asked: whoever asks the same again, in whatever process, gets them."""

from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from shared.ledger.database import Ledger, now
from shared.ledger.tables import answers


def find_answer(ledger: Ledger, key: str) -> dict[str, Any] | None:
    """The stored answer, or None."""
    with ledger.read() as connection:
        found: dict[str, Any] | None = connection.execute(select(answers.c.body).where(answers.c.key == key)).scalar_one_or_none()
    return found


def keep_answer(ledger: Ledger, key: str, body: dict[str, Any]) -> None:
    """Stores an answer; of two to the same question the first stays."""
    try:
        with ledger.write() as connection:
            connection.execute(insert(answers).values(key=key, body=body, created_at=now()))
    except IntegrityError:
        return  # an earlier attempt at the same item stored its own
