"""Processes of other trees are judged by what is seen of them, and by our own clock alone."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobsd.processes import registry
from jobsd.scoreboard.thresholds import DEFAULTS, Thresholds
from jobsd.supervisor.recovery.peers import PeerProcess, Peers, is_gone

if TYPE_CHECKING:
    from collections.abc import Callable

THRESHOLD_S = 60.0
INTERVAL_S = 10.0

FAR = PeerProcess(
    id=1,
    kind="worker",
    name="worker-far",
    pid=1,
    hostname="elsewhere",
    heartbeat=1000.0,
    boot="another boot",
    namespace="pid:[1]",
    started="1",
    threads=3,
)


@pytest.fixture
def peers() -> Peers:
    return Peers(THRESHOLD_S, INTERVAL_S)


def _near(pid: int, started: str) -> PeerProcess:
    ours = registry.identity(os.getpid())
    return replace(
        FAR, pid=pid, started=started, boot=ours["boot"], namespace=ours["namespace"]
    )


def _watch(
    peers: Peers, heartbeat: Callable[[float], float], until: float = 200.0
) -> float | None:
    """Survey each interval; return when the peer has stood still for too long, if it did."""
    now = 0.0
    while now <= until:
        peers.see([replace(FAR, heartbeat=heartbeat(now))], now)
        if peers.standing_still(now):
            return now
        now += INTERVAL_S
    return None


@pytest.mark.behaviour(14)
def test_a_heartbeat_that_stands_is_found_once_it_has_stood_for_the_threshold(
    peers: Peers,
) -> None:
    assert _watch(peers, lambda _: 1000.0) == THRESHOLD_S


@pytest.mark.behaviour(14)
def test_a_heartbeat_that_moves_is_life(peers: Peers) -> None:
    assert _watch(peers, lambda now: 1000.0 + now) is None


def test_a_clock_that_was_put_back_is_life(peers: Peers) -> None:
    assert _watch(peers, lambda now: now - 3600.0 if now > 30 else now) is None


@pytest.mark.failure(
    "The clock of a host is an hour off.",
    "No process is declared dead: a heartbeat is compared only with itself, by the clock of"
    " the watcher.",
)
def test_a_clock_that_is_an_hour_off_changes_nothing(peers: Peers) -> None:
    assert _watch(peers, lambda now: now + 3600.0) is None


def test_a_heartbeat_that_only_trembles_stands(peers: Peers) -> None:
    assert _watch(peers, lambda now: 1000.0 + (now % 3) / 100) == THRESHOLD_S


def test_a_heartbeat_that_stopped_counts_from_when_it_was_last_seen_to_move(
    peers: Peers,
) -> None:
    assert _watch(peers, lambda now: min(now, 50.0)) == 50.0 + THRESHOLD_S


def test_after_a_time_without_surveys_no_peer_is_judged_by_earlier_ones(
    peers: Peers,
) -> None:
    peers.see([FAR], 0.0)

    peers.see([FAR], 300.0)

    assert peers.standing_still(300.0) == []
    assert peers.due_in_s(300.0) == THRESHOLD_S


def test_a_recovered_process_is_not_judged_again(peers: Peers) -> None:
    for now in range(0, 70, 10):
        peers.see([FAR], float(now))

    peers.forget(FAR)

    assert peers.standing_still(60.0) == []


def test_a_process_of_another_boot_is_not_judged_by_its_number(peers: Peers) -> None:
    nobody = 2**22 + 1

    peers.see([replace(FAR, pid=nobody)], 0.0)

    assert peers.vanished() == []


def test_a_process_of_another_namespace_is_not_judged_by_its_number(
    peers: Peers,
) -> None:
    peers.see([replace(_near(2**22 + 1, "1"), namespace="pid:[1]")], 0.0)

    assert peers.vanished() == []


def test_a_living_process_of_this_boot_has_not_vanished(peers: Peers) -> None:
    peers.see([_near(os.getpid(), registry.start_time(os.getpid()))], 0.0)

    assert peers.vanished() == []


def test_a_number_that_another_process_has_now_is_a_death(peers: Peers) -> None:
    peer = _near(os.getpid(), "1")
    peers.see([peer], 0.0)

    assert peers.vanished() == [peer]


def test_a_pid_of_no_process_is_a_death(peers: Peers) -> None:
    peer = _near(2**22 + 1, "1")
    peers.see([peer], 0.0)

    assert peers.vanished() == [peer]


NOBODY = (2**22 + 1, "1")


def _of_tree(supervisor: tuple[int, str], monitor: int | None) -> list[PeerProcess]:
    """A worker that is gone, and the monitor of its tree where there is one."""
    worker = replace(_near(*NOBODY), supervisor=supervisor)
    if monitor is None:
        return [worker]
    lives = _near(monitor, registry.start_time(monitor) or "1")
    return [worker, replace(lives, id=2, kind="monitor", supervisor=supervisor)]


def test_a_dead_process_is_left_to_its_tree_while_its_supervisor_lives(
    peers: Peers,
) -> None:
    ours = (os.getpid(), registry.start_time(os.getpid()))

    peers.see(_of_tree(ours, None), 0.0)

    assert peers.vanished() == []


def test_a_dead_process_is_left_to_its_tree_while_its_monitor_lives(
    peers: Peers,
) -> None:
    peers.see(_of_tree(NOBODY, os.getpid()), 0.0)

    assert peers.vanished() == []


@pytest.mark.parametrize("monitor", [None, NOBODY[0]])
@pytest.mark.parametrize("supervisor", [NOBODY, (os.getpid(), "1")])
def test_a_process_that_is_gone_with_supervisor_and_monitor_has_vanished(
    peers: Peers, supervisor: tuple[int, str], monitor: int | None
) -> None:
    tree = _of_tree(supervisor, monitor)

    peers.see(tree, 0.0)

    assert peers.vanished() == tree


def test_a_monitor_of_another_tree_does_not_count(peers: Peers) -> None:
    worker, monitor = _of_tree(NOBODY, os.getpid())

    peers.see([worker, replace(monitor, supervisor=(os.getpid(), "1"))], 0.0)

    assert peers.vanished() == [worker]


def test_a_tree_that_does_not_settle_what_its_process_has_left_stands_still(
    peers: Peers,
) -> None:
    ours = (os.getpid(), registry.start_time(os.getpid()))
    (worker,) = _of_tree(ours, None)

    for now in range(0, 70, 10):
        peers.see([worker], float(now))

    assert peers.standing_still(60.0) == [(worker, 60.0)]


def test_a_zombie_is_dead() -> None:
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    started = registry.start_time(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    assert is_gone(_near(pid, started))
    os.waitpid(pid, 0)


def test_a_process_that_proc_hides_is_not_called_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_start(_: int) -> str:
        return ""

    def no_stat(_: int) -> None: ...

    monkeypatch.setattr(registry, "start_time", no_start)
    monkeypatch.setattr("jobsd.supervisor.recovery.peers.process_stat", no_stat)

    assert not is_gone(_near(os.getpid(), "1"))


def _of(threshold_s: float, hang_s: float) -> Thresholds:
    return Thresholds(threshold_s / 6, threshold_s, hang_s)


@pytest.mark.parametrize(
    ("theirs", "dead_at"),
    [
        (_of(60, 40), 60.0),
        (_of(5, 5), 60.0),  # ours is longer
        (_of(120, 80), 120.0),
        (_of(60, 69), 80.0),  # killed after 70, and what may tremble: seen in the next look
        (DEFAULTS, 60.0),
        (None, 60.0),  # nobody's
    ],
)
def test_a_process_is_dead_once_both_trees_and_its_killer_would_have_it_so(
    peers: Peers, theirs: Thresholds | None, dead_at: float
) -> None:
    peer = replace(FAR, thresholds=theirs)
    now = 0.0
    while not peers.standing_still(now):
        assert peers.due_in_s(now) > 0 or now == 0
        now += INTERVAL_S
        peers.see([peer], now)

    assert now - INTERVAL_S == dead_at
    assert peers.due_in_s(now) == 0


def test_a_process_with_a_long_threshold_does_not_delay_the_pruning_of_others(
    peers: Peers,
) -> None:
    patient, plain = replace(FAR, id=2, thresholds=_of(600, 400)), replace(FAR, thresholds=None)

    for now in range(0, 70, 10):
        peers.see([patient, plain], float(now))

    assert peers.standing_still(60.0) == [(plain, 60.0)]
