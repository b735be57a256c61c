"""A handler of `logging` behind whose lines a job can be interrupted; see `line_ends`."""

import logging

from .line_ends import line_ended


class LineHandler(logging.Handler):
    """A handler that says where it has written a line, once it has given its lock back."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record, as every handler does."""
        handled = super().handle(record)
        line_ended()
        return handled
