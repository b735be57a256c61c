"""The tools that act, with `--allow-acts` only. Each counts first, and acts when called again.

The second call changes no job that was enqueued after the count. Each act is in the audit as
`mcp`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jobsd import errors, operations
from jobsd.acts import cancels, inspect, queues
from jobsd.operations import bulk
from jobsd.operations.bulk import BulkAct, Counted, How

from .reading import LIMIT_MAX, answer, opened, selected

if TYPE_CHECKING:
    from jobsd.daemon.cli.project import Project
    from jobsd.database.connection import Session
    from jobsd.operations.audit import Act

_Key = tuple[str | int, ...]

_NEXT = "nothing was changed; call again with confirm: true to do it"


def _cancel(session: Session, ids: Sequence[int], how: How) -> Iterator[int]:
    return map(len, cancels.batches(session, ids, force=False, keep=how.keep))


_ACTS = {**bulk.ACTS, "cancel": BulkAct("cancel", cancels.MANY, "operator", _cancel)}


class Acting:
    """The tools, for one project; they know what was counted."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._counted: dict[_Key, Counted] = {}

    def retry(
        self, search: str = "", ids: list[int] | None = None, *, confirm: bool = False
    ) -> str:
        """Retry failed jobs, given by their ids or by a search as in `list`.

        The first call only counts them. Called again with confirm: true it does it.
        """
        return self._act("retry", search, ids or [], confirm=confirm)

    def discard(
        self, search: str = "", ids: list[int] | None = None, *, confirm: bool = False
    ) -> str:
        """Discard jobs that wait or have failed, given by their ids or by a search.

        The first call only counts them. Called again with confirm: true it does it.
        """
        return self._act("discard", search, ids or [], confirm=confirm)

    def cancel(
        self, search: str = "", ids: list[int] | None = None, *, confirm: bool = False
    ) -> str:
        """Cancel jobs, given by their ids or by a search: waiting and running ones.

        The first call only counts them. Called again with confirm: true it does it.
        """
        return self._act("cancel", search, ids or [], confirm=confirm)

    def pause(self, queue: str, reason: str, *, confirm: bool = False) -> str:
        """Make all workers stop claiming from a queue, until a person resumes it.

        The first call only counts its ready jobs. Called again with confirm: true it does it.
        """
        key: _Key = ("pause", queue)
        with opened(self._project) as session:
            known = self._counted.pop(key, None) if confirm else None
            if known is None:
                self._counted[key] = Counted(queues.size(queue, session=session), 0)
                return _counted("pause", queue, self._counted[key])
            with operations.audit.acting(session, "pause", f"queue {queue}", via="mcp"):
                pausing = queues.pausing(queue, reason, session=session)
        return answer({"act": "pause", "queue_name": queue, "was_paused": not pausing.is_new})

    def _act(self, name: str, search: str, ids: list[int], *, confirm: bool) -> str:
        if bool(search.strip()) == bool(ids):
            raise errors.RefusedError("give either ids or a search; `state:failed` is one")
        if len(ids) > LIMIT_MAX:
            raise errors.RefusedError(f"give at most {LIMIT_MAX} ids, or a search")
        ids = sorted(set(ids))
        act, target = _ACTS[name], search or ", ".join(map(str, ids))
        key: _Key = (name, search, *ids)
        with opened(self._project) as session:
            known = self._counted.pop(key, None) if confirm else None
            if known is None:
                self._counted[key] = self._count(session, act, search, ids)
                return _counted(name, target, self._counted[key])
            with operations.audit.acting(session, name, target, via="mcp") as written:
                self._perform(session, act, search, ids, known, written)
        return answer({"act": name, "target": target, "changed": written.jobs})

    def _count(self, session: Session, act: BulkAct, search: str, ids: list[int]) -> Counted:
        if search:
            return bulk.count(session, act, selected(self._project, search))
        return Counted(len(_able(session, act, ids)), 0)

    def _perform(  # noqa: PLR0913, PLR0917 - what was counted, and where it is written
        self,
        session: Session,
        act: BulkAct,
        search: str,
        ids: list[int],
        known: Counted,
        written: Act,
    ) -> None:
        how = How(keep=self._project.options.jobs.preserve_finished_jobs)
        if search:
            meant = selected(self._project, search)
            bulk.perform(session, act, meant, known.upto, how, written)
        else:
            written.add(sum(act.do(session, _able(session, act, ids), how)))


def _able(session: Session, act: BulkAct, ids: list[int]) -> list[int]:
    """Return the ids of the jobs that the act can change.

    Raises:
        NotFoundError: if one does not exist.
    """
    found = {each: inspect.find(session, each).job.state for each in ids}
    return [each for each, state in found.items() if state in act.states]


def _counted(act: str, target: str, found: Counted) -> str:
    jobs = found.jobs if found.exact else f"more than {bulk.COUNTED_MAX}"
    return answer({"act": act, "target": target, "would_change": jobs, "next": _NEXT})
