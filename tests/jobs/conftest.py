"""The client of the enqueueing tests, for definitions that are enqueued."""

from enqueueing.conftest import pool, stored  # noqa: F401 - fixtures
