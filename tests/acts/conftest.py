"""The client of the enqueueing tests, for acts on what it stores."""

from enqueueing.conftest import pool, stored

__all__ = ["pool", "stored"]
