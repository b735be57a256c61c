"""Output of jobs as lines of the log: each line becomes a JSON object with the job's id.

Each thread has an unfinished line of its own, so the lines of two jobs are never mixed. Output
of C code, or of a program that a job starts, comes through `pipes`.
"""

import codecs
import io
import threading
from collections.abc import Callable, Iterable
from typing import Any

from . import always, line_ends

LINE_MAX = 8192
"""A line is ended after this number of characters."""


class _Here(threading.local):
    """The unfinished lines of this thread, by stream."""

    def __init__(self) -> None:
        self.texts: dict[Printed, str] = {}
        self.decoders: dict[Printed, codecs.IncrementalDecoder] = {}
        self.ended: set[Printed] = set()
        """The streams whose last line was ended before its end came."""


_here = _Here()
UNENDED: set[int] = set()
"""The threads that have unfinished lines, or whose last line was ended before its end. For
other threads a job need not call `end_lines`."""
_decoder = codecs.getincrementaldecoder("utf-8")


def end_lines() -> None:
    """Log the unfinished lines of this thread: they belong to the job that ends."""
    decoders, texts = _here.decoders, _here.texts
    _here.ended.clear()
    while decoders:
        printed, decoder = decoders.popitem()
        printed.write(decoder.decode(b"", final=True))
    while texts:
        printed, text = texts.popitem()
        printed.log_line(text)
    UNENDED.discard(threading.get_ident())


class Printed(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr` in a process whose log is not for people.

    `descriptor` is for programs that are started with it.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, log_line: Callable[[str], None], descriptor: int = 1) -> None:
        self.log_line = log_line
        self._descriptor = descriptor
        self.buffer = _Bytes(self)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the log, for programs that are started with it."""
        return self._descriptor

    def reconfigure(self, **_: Any) -> None:  # noqa: ANN401 - as the stream has it
        """Change nothing: lines are logged one by one, in UTF-8."""

    def write(self, text: str) -> int:
        """Log each line that is complete; keep the rest for the next call."""
        if always.is_logged():
            return len(text)
        texts, given = _here.texts, text
        if text and self in _here.ended:
            # `print` writes the end of a line separately: it is not one more line.
            _here.ended.discard(self)
            given = text.removeprefix("\n")
        *lines, rest = (texts.pop(self, "") + given).split("\n")
        if len(rest) > LINE_MAX:
            lines.append(rest)
            _here.ended.add(self)
        elif rest:
            texts[self] = rest
        if rest:
            UNENDED.add(threading.get_ident())
        for line in lines:
            self.log_line(line)
        line_ends.line_ended()
        return len(text)


class _Bytes(io.RawIOBase):
    """Bytes that are written; logged in lines, like text."""

    def __init__(self, printed: Printed) -> None:
        self._printed = printed

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever bytes() takes
        raw, decoders = bytes(data), _here.decoders
        decoder = decoders.pop(self._printed, None) or _decoder("backslashreplace")
        self._printed.write(decoder.decode(raw))
        if decoder.getstate()[0]:
            # The next bytes will complete this character.
            decoders[self._printed] = decoder
            UNENDED.add(threading.get_ident())
        return len(raw)


class Copied:
    """Stands for a stream that stays as it is: each line that is written is copied, too."""

    def __init__(self, stream: Any, copy_line: Callable[[str], None]) -> None:  # noqa: ANN401 - any stream
        self._stream = stream
        self._lines = Printed(copy_line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the stream's own
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write to the stream, and copy each line that is complete."""
        written: int = self._stream.write(text)
        self._lines.write(text)
        return written

    def writelines(self, texts: Iterable[str]) -> None:
        """Write each text."""
        for text in texts:
            self.write(text)
