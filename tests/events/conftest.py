"""The log of the logs' tests."""

from logs.conftest import log  # noqa: F401 - a fixture
