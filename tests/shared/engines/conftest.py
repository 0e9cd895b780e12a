"""Fixtures of this folder."""

from tests.shared.engines.endpoints import hosted, local, server

__all__ = ["hosted", "local", "server"]
