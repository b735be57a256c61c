"""The client of the enqueueing tests, for jobs in each state."""

from enqueueing.conftest import pool, stored

__all__ = ["pool", "stored"]
