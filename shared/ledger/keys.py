"""API keys, hashed at rest. Keys are 256 random bits, so a plain SHA-256 is as good as a slow hash."""

import hashlib
import secrets

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from shared.ledger.database import Ledger, now
from shared.ledger.tables import api_keys


def new_key() -> str:
    """A fresh API key. Shown once, stored nowhere but as its digest."""
    return f"lt-{secrets.token_urlsafe(32)}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def register_key(ledger: Ledger, key: str, name: str) -> None:
    """Makes a key valid; registering it twice is no matter."""
    try:
        with ledger.write() as connection:
            connection.execute(insert(api_keys).values(name=name, digest=_digest(key), created_at=now()))
    except IntegrityError:
        return  # already registered


def key_name(ledger: Ledger, key: str) -> str | None:
    """The name of a valid key, or None."""
    query = select(api_keys.c.name).where(api_keys.c.digest == _digest(key), api_keys.c.revoked_at.is_(None))
    with ledger.read() as connection:
        return connection.execute(query).scalar_one_or_none()
