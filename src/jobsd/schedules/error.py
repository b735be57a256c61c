"""The error that refuses a schedule."""

from jobsd.errors import Error


class ScheduleError(Error):
    """The text is not a schedule; `hint` says what to write instead, or is empty.

    The message quotes the text. A caller whose texts may contain a secret redacts them.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)


_SHOWN = 60


def quoted(text: str) -> str:
    """Return `text` in quotes for a message: one short line of printable characters."""
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return (
        '"'
        + "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
        + '"'
    )
