"""The error that refuses a schedule."""

from jobsd.errors import Error


class ScheduleError(Error):
    """The text is not a schedule; `hint` is a correct text, or empty.

    The message quotes the text. The caller redacts secrets.
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


def refusal(text: str, reason: str, hint: str = "") -> ScheduleError:
    """Return the error that quotes a text and gives the reason."""
    return ScheduleError(f"{quoted(text)}{'' if reason[0] == ':' else ' '}{reason}", hint)
