"""The one way in which a schedule is refused."""

from __future__ import annotations

from jobsd.errors import Error
from jobsd.instruments.redaction import redact


class ScheduleError(Error):
    """A schedule is refused; `hint` says what to write instead, or is empty."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)


_SHOWN = 60


def quoted(text: str) -> str:
    """Return `text` in quotes for a message: one short line, printable, without passwords."""
    text = redact(text)
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return (
        '"'
        + "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
        + '"'
    )
