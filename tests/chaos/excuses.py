"""Which process had which job when, and why a run may have been repeated uncounted."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.evidence import Evidence, Holding, Run

SLACK_S = 0.005
"""Two clocks of one machine are compared."""
THAW_S = 0.1
"""Who was stopped between looking whether a job is its own and its first line."""
SHRUNK_S = 10.0
"""A worker too many ends at the latest so long after its tree was told to have one less."""
AFTER_S = 5.0
"""A process that stood still may be declared dead at the latest so long after that."""

REPLYING = {"chaos.replying"}
"""The classes of which what they return is kept."""
COMPLETING = {"chaos.sealed"}
"""The classes that tell their end first, and then complete themselves."""

_ASKED = {"stop", "reload", "recycled", "row", "terminated", "timeout"}
_ENDS_TREE = {"TERM", "QUIT", "kill"}


class Excuses:
    """The runs of a chaos run with the claims that they belong to."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._holdings: defaultdict[tuple[int, int], list[Holding]] = defaultdict(list)
        for holding in sorted(evidence.holdings, key=lambda each: each.made):
            self._holdings[holding.job_id, holding.pid].append(holding)
        self._replying = {job.id for job in evidence.jobs if job.class_name in REPLYING}
        self._completing = {job.id for job in evidence.jobs if job.class_name in COMPLETING}
        self._of: dict[int, Holding] = {}
        self._unclaimed: list[Run] = []
        self._twice: list[Run] = []
        used: set[int] = set()
        for run in sorted(evidence.runs, key=lambda each: each.began):
            match = self._match(run, used)
            if match is None:
                self._unclaimed.append(run)
                continue
            if id(match) in used:
                self._twice.append(run)
            used.add(id(match))
            self._of[id(run)] = match

    def _match(self, run: Run, used: set[int]) -> Holding | None:
        """Return the claim that a run belongs to: one that stood then, and is free."""
        began = run.began + SLACK_S
        before = [each for each in self._holdings[run.job_id, run.pid] if each.made <= began]
        free = [each for each in before if id(each) not in used]

        def off_by_s(holding: Holding) -> float:
            return max(0.0, holding.made - run.began, run.began - holding.ended)

        return min(free or before[-1:], key=off_by_s, default=None)

    def faults(self) -> Iterator[str]:
        """Yield the runs that should not have been, or should have been counted."""
        yield from (f"started without a claim: {run}" for run in self._unclaimed)
        yield from (f"started twice for one claim: {run}" for run in self._twice)
        for run in self._evidence.runs:
            holding = self._of.get(id(run))
            if holding is None:
                continue
            if run.began > holding.ended + SLACK_S and not self.was_frozen(run):
                yield f"started after it was taken away: {run}, {holding}"
            if not (holding.recorded or run.result == "Snooze" or self.excused(holding, run)):
                yield f"not counted: {run}, {holding}"

    def uncounted(self) -> int:
        """Return how many runs were given back or taken away without being counted."""
        pairs = [(run, self._of.get(id(run))) for run in self._evidence.runs]
        return sum(
            holding is not None and not holding.recorded and run.result != "Snooze"
            for run, holding in pairs
        )

    def end_of(self, run: Run) -> float:
        """Return until when a run surely lasted, as far as its limit is concerned.

        One that was declared dead by another tree counts no longer than until then.
        """
        seen = self._evidence.sightings.get(run.pid)
        end = run.ended if run.ended is not None else seen.until if seen else run.began
        holding = self._of.get(id(run))
        if holding is not None and self._is_foreign(holding):
            end = min(end, holding.ended)
        return end

    def excused(self, holding: Holding, run: Run) -> bool:
        """Return whether a run of this claim may have been given back uncounted.

        A process that drains gives back by itself only coroutines, which it cancels.
        """
        evidence = self._evidence
        if self._is_in_journal(holding, run):
            return False
        if run.result == "NoneType" and run.job_id in self._replying:
            # What it returned has died with its process, so it runs again, as if released.
            return holding.ended_by.startswith("monitor")
        seen = evidence.sightings.get(holding.pid)
        tree = seen.tree if seen else ""
        if not holding.ended_by.startswith("monitor") and run.result != "CancelledError":
            return False
        if evidence.exits.get(holding.pid) in _ASKED:
            return True
        for asked in evidence.asked:
            if asked.tree != tree or asked.at > holding.ended:
                continue
            # Which worker goes is the tree's to say; nobody reports its end in order.
            may_be_one_too_many = asked.what == "TTOU" and run.result == "CancelledError"
            if may_be_one_too_many and holding.ended - asked.at < SHRUNK_S:
                return True
            if asked.what in _ENDS_TREE and asked.pid == 0:
                return True
            late = holding.ended - asked.until
            if asked.what == "freeze" and late < AFTER_S and self._is_foreign(holding):
                return True
        return False

    def _is_in_journal(self, holding: Holding, run: Run) -> bool:
        """Return whether a run had ended when its tree was stopped without a database.

        Of a process that was killed, frozen or asked to end besides, nothing is known. A job
        that completes itself runs until the database has answered.
        """
        evidence = self._evidence
        if run.result == "NoneType" and run.job_id in self._completing:
            return False
        seen = evidence.sightings.get(holding.pid)
        done = [
            asked
            for asked in evidence.asked
            if seen and asked.tree == seen.tree and asked.pid in {0, holding.pid}
        ]
        others = {asked.what for asked in done} - {"TERM", "away", "HUP", "TTIN", "TTOU"}
        asked_alone = any(asked.pid for asked in done)
        if others or asked_alone or evidence.exits.get(holding.pid, "stop") != "stop":
            return False
        ended = run.ended if run.ended is not None else float("inf")
        of_itself = run.result not in {None, "CancelledError"}
        return of_itself and any(
            asked.what == "away" and ended < asked.until and asked.at < holding.ended
            for asked in done
        )

    def _is_foreign(self, holding: Holding) -> bool:
        """Return whether a claim was ended by a monitor of another tree."""
        seen = self._evidence.sightings.get(holding.pid)
        other = self._evidence.trees.get(holding.ended_by)
        if not holding.ended_by.startswith("monitor") or seen is None:
            return False
        return other != seen.tree

    def was_frozen(self, run: Run) -> bool:
        """Return whether its process stood still just before a run began."""
        return any(
            asked.pid == run.pid and asked.at < run.began < asked.until + THAW_S
            for asked in self._evidence.asked
            if asked.what == "freeze"
        )
