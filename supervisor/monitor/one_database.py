"""Refuses a tree whose application enqueues into another database than the tree works on.

A start compares the two. While one of them can't be reached, it warns and goes on, and the
monitor compares them: before it makes tables, and again and again until that was possible.
"""

import json
import threading

from jobsd.clock import monotonic
from jobsd.database.connection import OUTAGES, Target, redact
from jobsd.database.identity import are_one
from jobsd.errors import ConfigurationError, DatabaseUnreachableError, Fault
from jobsd.events.events import emit

AGAIN_S = 5.0


class Comparison:
    """The comparison of the tree's database with that of the application (`named`), if any."""

    def __init__(self, ours: Target, named: str) -> None:
        self._ours = ours
        self._applied = Target(*json.loads(named)) if named else None
        self._again_at = 0.0
        self._thread = threading.Thread()

    def require(self) -> str:
        """Compare them, unless that is done; return why it is not possible now, "" if it is.

        Raises:
            ConfigurationError: when they are two.
        """
        if self._applied is None:
            return ""
        names = f"{_shown(self._applied)}, the daemon works on {_shown(self._ours)}"
        try:
            one = are_one(self._ours, self._applied)
        except (DatabaseUnreachableError, *OUTAGES) as error:
            return f"the application enqueues into {names}: not compared: {error}"
        if not one:
            hint = "name one database for both, or only in the application"
            fault = Fault(f"the application enqueues into {names}: these are two", hint=hint)
            raise ConfigurationError((fault,))
        self._applied = None
        return ""

    def poll(self) -> None:
        """Compare them in a thread of its own if that is due: neither database may block us."""
        if self._applied is None or self._thread.is_alive() or monotonic() < self._again_at:
            return
        self._again_at = monotonic() + AGAIN_S
        self._thread = threading.Thread(target=self._report, name="comparison", daemon=True)
        self._thread.start()

    def _report(self) -> None:
        """Report once that they are two, though the tree works on its own already."""
        try:
            self.require()
        except ConfigurationError as error:
            self._applied = None
            emit("database.foreign", error=error)


def _shown(target: Target) -> str:
    return f"[{redact(target.url)} schema={target.schema}]"
