"""Reads the results and errors of jobs that were waited for, some MiB at a time."""

from collections.abc import Container

from jobsd.clock import monotonic
from jobsd.database.connection import OUTAGES, Session
from jobsd.database.portions import IDS_MAX, LATE_MAX, Portion, is_late
from jobsd.states.results import End, values


class Unread:
    """The ended jobs whose results and errors are still to be read."""

    def __init__(self) -> None:
        self._ends: dict[int, End] = {}
        self._late: dict[int, int] = {}
        """How many deadlines have passed for jobs that were alone in their statement."""
        self._done: list[End] = []
        """The ends to be returned: with their result and error, or given up."""
        self._portion = Portion()

    def __bool__(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._ends or self._done)

    def add(self, end: End) -> None:
        """Take in the end of a job without its result and error."""
        self._ends[end.id] = end

    def read(self, session: Session, wanted: Container[int]) -> list[End]:
        """Read what one statement may bring, of jobs that are still wanted; return their ends.

        Ends that were given up are among them, and still `unread`.
        """
        self._ends = {id_: end for id_, end in self._ends.items() if id_ in wanted}
        self._late = {id_: late for id_, late in self._late.items() if id_ in self._ends}
        ids = [*self._ends][: 1 if self._portion.is_one else IDS_MAX]
        # A job that was given up is reported first, or it would be read again.
        if ids and not self._done:
            self._read(session, ids)
        found, self._done = self._done, []
        return found

    def _read(self, session: Session, ids: list[int]) -> None:
        began = monotonic()
        try:
            found = values(session, ids, self._portion.most)
        except OUTAGES as error:
            if is_late(error):
                self._note_late(ids)
            raise
        size = sum(len(fields["result"] or "") for fields in found.values())
        self._portion.was_answered(size, monotonic() - began, session.deadline_s)
        for job_id, fields in found.items():
            self._done.append(self._ends.pop(job_id)._replace(unread=False, **fields))

    def _note_late(self, ids: list[int]) -> None:
        """Ask for less the next time, and for a job that was alone after all others."""
        self._portion.was_late()
        if len(ids) > 1:
            return
        end = self._ends.pop(ids[0])
        self._late[end.id] = late = self._late.get(end.id, 0) + 1
        if late < LATE_MAX:
            self._ends[end.id] = end
        else:
            self._done.append(end)
