"""The log of the logs' tests."""

from logs.conftest import log

__all__ = ["log"]
