"""Entries of systemd's journal that have fields: `journalctl JOBSD_JOB_ID=42`.

The message of an entry is the line of the log, unchanged. The fields beside it come from our
own knowledge: the facts of our own events, and the job that runs in the logging thread. Output
and log records of a job become no field, and a value has its length before it, so no text can
forge one. An entry is one datagram that does not wait for the journal.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any, cast

from jobsd.events.bound_job import bound_job

from .layouts import shown
from .redaction import redact

SOCKET = "/run/systemd/journal/socket"
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

VALUE_MAX = 1000
"""The maximum of characters in a field's value."""
VALUES_MAX = 100
"""The maximum of values of one field: the jobs of one event."""
_BUFFER_BYTES = 1 << 23

_FIELDS = {
    "event": "JOBSD_EVENT",
    "job_id": "JOBSD_JOB_ID",
    "job_ids": "JOBSD_JOB_ID",
    "class_name": "JOBSD_CLASS",
    "queue_name": "JOBSD_QUEUE",
    "attempt": "JOBSD_ATTEMPT",
    "task": "JOBSD_TASK",
    "reason": "JOBSD_REASON",
    "kind": "JOBSD_ITS_KIND",
    "name": "JOBSD_ITS_NAME",
}
"""The field for each fact that has one."""


class Entries:
    """Makes the entries of one process; safe from any thread."""

    def __init__(self, kind: str, name: str) -> None:
        self._who = b"".join(
            _field(field, value)
            for field, value in (
                ("SYSLOG_IDENTIFIER", "jobsd"),
                ("JOBSD_PROCESS_KIND", kind),
                ("JOBSD_PROCESS_NAME", name),
            )
        )

    def entry(self, line: str, level: str, facts: Mapping[str, Any]) -> bytes:
        """Return the entry of a line; `facts` come from our own events."""
        parts = [_field("MESSAGE", line), _field("PRIORITY", str(PRIORITIES.get(level, 6)))]
        for name, value in (bound_job() | dict(facts)).items():
            if name in _FIELDS:
                parts += [_field(_FIELDS[name], redact(text)) for text in _texts(value)]
        return b"".join((*parts, self._who))


class JournalSocket:
    """The connection to the journal: sends an entry or raises, and never waits.

    A journal that was restarted may have another socket: this looks for it once.

    Raises:
        OSError: there is no journal.
    """

    def __init__(self) -> None:
        self._socket = _connected()

    def fileno(self) -> int:
        """Return the descriptor, -1 once it is closed."""
        return self._socket.fileno()

    def send(self, entry: memoryview) -> int:
        """Send a whole entry; return its length.

        Raises:
            BlockingIOError: the journal has no room now.
            OSError: it can't be sent at all.
        """
        try:
            return self._socket.send(entry, socket.MSG_DONTWAIT)
        except BlockingIOError:
            raise
        except OSError:
            with _connected() as successor:
                # The number of the descriptor stays: other threads wait for room by it.
                os.dup2(successor.fileno(), self._socket.fileno(), inheritable=False)
            return self._socket.send(entry, socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def _connected() -> socket.socket:
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        with contextlib.suppress(OSError):
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        wire.connect(SOCKET)
    except OSError:
        wire.close()
        raise
    return wire


def _texts(value: object) -> Iterator[str]:
    if value is None:
        return
    if isinstance(value, list | tuple):
        for each in cast("list[object]", value)[:VALUES_MAX]:
            yield shown(each)[:VALUE_MAX]
        return
    yield shown(value)[:VALUE_MAX]


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data)
