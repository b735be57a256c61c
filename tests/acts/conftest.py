"""The client of the enqueueing tests, for acts on what it stores."""

from enqueueing.conftest import pool, stored  # noqa: F401 - fixtures
