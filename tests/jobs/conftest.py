"""The client of the enqueueing tests, for definitions that are enqueued."""

from enqueueing.conftest import pool, stored

__all__ = ["pool", "stored"]
