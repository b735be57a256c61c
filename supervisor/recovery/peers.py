"""Peer processes: which processes of other trees are dead.

There are two judgements, which never mix:

*Vanished.* A row has the boot, the namespace of process ids and the start time of its process.
If the first two are our own, the kernel can be asked: a process that is gone, or has lost its
process id to another process, is dead at once. Host name and process id alone prove too little,
since containers share both. We recover such a process only when its supervisor is gone, too,
and its monitor: as long as one of them lives, its own tree knows which jobs ran in it, while we
would have to guess. A tree that does not do it has stalled, and is judged by its heartbeat.

*Standing still.* Of all other processes only the heartbeat is known. Its value is compared with
itself, and the time for which it stands is measured by our own monotonic clock: no other clock,
of the server or of another machine, is involved. How long it must stand is up to its tree as
well as to ours (`jobsd.scoreboard.thresholds`). The time counts only while our surveys are
regular. After an outage no process could beat, and after we have stalled we could not see it:
so the time begins again for all.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jobsd.machine import process_stat
from jobsd.processes import registry
from jobsd.scoreboard.thresholds import Thresholds, dead_after_s


@dataclass(frozen=True, slots=True)
class PeerProcess:
    """A row of the processes table that is not of this tree.

    `boot`, `namespace` and `started` identify the process and its machine; `heartbeat` is in
    seconds since the epoch, of a clock that is compared only with itself. `thresholds` are
    those of its own tree, if known; `supervisor` is the process id and the start of its
    supervisor, None for a supervisor and in a row without it.
    """

    id: int
    kind: str
    name: str
    pid: int
    hostname: str
    heartbeat: float
    boot: str
    namespace: str
    started: str
    threads: int
    thresholds: Thresholds | None = None
    supervisor: tuple[int, str] | None = None
    journals: Path | None = None
    """The folder of its journal, on its own host."""

    @property
    def is_of_this_boot(self) -> bool:
        """Whether it ran on this machine since that was started, in whichever container."""
        return self.boot == registry.identity(os.getpid())["boot"]


@dataclass(slots=True)
class _Sighting:
    peer: PeerProcess
    since: float
    """When the heartbeat was first seen at this value, monotonic."""


class Peers:
    """The peer processes seen so far."""

    def __init__(
        self, threshold_s: float, interval_s: float, supervisor: tuple[int, str] | None = None
    ) -> None:
        self._threshold_s = threshold_s
        self._supervisor = supervisor
        self._gap_s = 3 * interval_s
        # A hung loop's heartbeat moves by the jitter of its measurement; a living one's
        # by the time between two beats, in either direction when a clock is set.
        self.jitter_s = min(1.0, interval_s / 4)
        ours = registry.identity(os.getpid())
        self._here = (ours["boot"], ours["namespace"])
        self._known: dict[int, _Sighting] = {}
        self._surveyed_at: float | None = None

    def see(self, orphans: Iterable[PeerProcess], now: float) -> None:
        """Add the peers of a new survey."""
        regular = self._surveyed_at is not None and now - self._surveyed_at <= self._gap_s
        self._surveyed_at = now
        before, self._known = self._known, {}
        for peer in orphans:
            sighting = before.get(peer.id)
            stands = sighting is not None and self._stands(sighting.peer, peer)
            since = sighting.since if sighting is not None and stands and regular else now
            kept = sighting.peer if sighting is not None and stands else peer
            self._known[peer.id] = _Sighting(kept, since)

    def standing_still(self, now: float) -> list[tuple[PeerProcess, float]]:
        """Return the peers whose heartbeat has stood for long enough, and for how long."""
        return [
            (sighting.peer, now - sighting.since)
            for sighting in self._known.values()
            if now >= self._dead_at(sighting)
        ]

    @property
    def near(self) -> bool:
        """Whether there are any of this boot and namespace."""
        return any(self._is_near(sighting.peer) for sighting in self._known.values())

    def vanished(self) -> list[PeerProcess]:
        """Return the peers of this boot and namespace that are gone, and their trees with them.

        Includes processes of our own tree that were recovered before and have left a row. Sends
        no statement.
        """
        seen = [sighting.peer for sighting in self._known.values()]
        near = [peer for peer in seen if self._is_near(peer)]
        gone = {peer.id: peer for peer in near if is_gone(peer)}
        monitored = {
            peer.supervisor for peer in near if peer.kind == "monitor" and peer.id not in gone
        }
        return [
            peer
            for peer in gone.values()
            if peer.supervisor is None
            or peer.supervisor == self._supervisor
            or (peer.supervisor not in monitored and _has_ended(*peer.supervisor))
        ]

    def due_in_s(self, now: float) -> float:
        """Return the seconds until the first heartbeat may have stood for long enough."""
        never = now + self._threshold_s
        return max(0.0, min(map(self._dead_at, self._known.values()), default=never) - now)

    def forget(self, peer: PeerProcess) -> None:
        """Forget a peer that was recovered."""
        self._known.pop(peer.id, None)

    def _dead_at(self, sighting: _Sighting) -> float:
        """Return when a process is dead, if its heartbeat stands until then."""
        theirs = sighting.peer.thresholds
        return sighting.since + dead_after_s(theirs, self._threshold_s, self.jitter_s)

    def _stands(self, before: PeerProcess, after: PeerProcess) -> bool:
        return abs(after.heartbeat - before.heartbeat) <= self.jitter_s

    def _is_near(self, peer: PeerProcess) -> bool:
        return (peer.boot, peer.namespace) == self._here and bool(peer.started)


def is_gone(peer: PeerProcess) -> bool:
    """Return whether a process of this boot and namespace is certainly dead."""
    return _has_ended(peer.pid, peer.started)


def _has_ended(pid: int, started: str) -> bool:
    now = registry.start_time(pid)
    if now:
        return now != started
    # It is a zombie, or gone, or /proc hides it (hidepid, systemd's ProtectProc=invisible). A
    # zombie is visible in /proc; and a signal number 0 finds a hidden process.
    return process_stat(pid) is not None or not _may_live(pid)


def _may_live(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
