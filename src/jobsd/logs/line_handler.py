"""A handler of `logging` after whose lines a job can be interrupted; see `line_ends`."""

import logging

from .line_ends import line_ended


class LineHandler(logging.Handler):
    """A handler that reports the end of each line, after it has released its lock."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record, as every handler does."""
        handled = super().handle(record)
        line_ended()
        return handled
