"""The client of the enqueueing tests, for arguments that are stored."""

from enqueueing.conftest import pool, stored  # noqa: F401 - fixtures
