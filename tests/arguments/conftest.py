"""The client of the enqueueing tests, for arguments that are stored."""

from enqueueing.conftest import pool, stored

__all__ = ["pool", "stored"]
