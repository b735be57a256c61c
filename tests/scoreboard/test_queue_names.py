"""A queue has a number, and figures, of its own for the tree's life, while there is room."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from jobsd.clock import monotonic
from jobsd.scoreboard.queue_names import OTHER, OTHERS, QUEUES_MAX, QueueNames
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor.tree_figures import tree_figures


@pytest.fixture
def scoreboard() -> Scoreboard:
    return Scoreboard()


@pytest.fixture
def names(scoreboard: Scoreboard) -> QueueNames:
    return scoreboard.queue_names


def in_child(work: object) -> None:
    """Do something in a forked process, and wait for it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()  # type: ignore[operator]
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def _stop(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def finished(scoreboard: Scoreboard) -> dict[str, int]:
    """Return the finished jobs by queue, as they are exposed."""
    return {
        queue: counts["finished"] for queue, counts in tree_figures(scoreboard).outcomes.items()
    }


def test_each_queue_has_a_number_and_keeps_it(names: QueueNames) -> None:
    assert [names.number(name) for name in ("a", "b", "a", "c")] == [1, 2, 1, 3]


def test_a_queue_has_the_same_number_in_every_process(names: QueueNames) -> None:
    names.number("a")
    in_child(lambda: [names.number(name) for name in ("b", "c")])

    assert [names.number(name) for name in ("c", "d", "b")] == [3, 4, 2]
    assert [names.name(number) for number in range(5)] == [OTHERS, "a", "b", "c", "d"]


def test_names_that_two_processes_add_at_once_are_added_once(names: QueueNames) -> None:
    pids: list[int] = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            for number in range(200):
                names.number(f"q{number}")
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)

    added = [names.name(number) for number in range(1, 201)]
    assert sorted(added) == sorted(f"q{number}" for number in range(200))


@pytest.mark.failure(
    "A process is stopped or killed while it assigns a queue its number in shared memory",
    "Other processes count their jobs as one queue until it continues; no process waits, and"
    " no number is lost.",
)
def test_a_process_stopped_while_adding_a_name_holds_up_no_other(
    names: QueueNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("jobsd.scoreboard.queue_names.write_text", _stop)
        pid = os.fork()
        if pid == 0:
            names.number("a")
            os._exit(0)
    os.waitpid(pid, os.WUNTRACED)

    assert names.number("b") == OTHER

    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert (names.number("b"), names.number("a")) == (1, 2)


def test_queues_beyond_the_room_are_counted_together_and_none_changes_its_place(
    scoreboard: Scoreboard,
) -> None:
    entry, later = scoreboard.entries[:2]
    for each in (entry, later):
        each.take("worker", "worker-1")
    for number in range(QUEUES_MAX + 100):
        entry.queue(f"queue-{number}").count("finished", 2)
    # Another process, in another order: what had no room has none there either.
    for number in reversed(range(QUEUES_MAX + 100)):
        later.queue(f"queue-{number}").count("finished", 1)

    counted = finished(scoreboard)
    own = {f"queue-{number}": 3 for number in range(QUEUES_MAX)}
    assert counted == {**own, OTHERS: 300}


def test_a_queue_that_is_called_other_is_one_like_any(scoreboard: Scoreboard) -> None:
    entry = scoreboard.entries[0]
    entry.take("worker", "worker-1")
    entry.queue("other").count("finished", 7)
    for number in range(QUEUES_MAX + 10):
        entry.queue(f"queue-{number}").count("finished")

    counted = finished(scoreboard)

    assert (counted["other"], counted[OTHERS]) == (7, 11)


def test_a_queue_with_room_for_its_name_is_not_counted_as_other(scoreboard: Scoreboard) -> None:
    entry = scoreboard.entries[0]
    entry.take("worker", "worker-1")
    entry.queue("a").count("finished")

    assert finished(scoreboard) == {"a": 1}


def test_a_long_name_is_known_again(names: QueueNames) -> None:
    name = "ä" * 127 + "x"

    assert names.number(name) == names.number(name) == 1
    assert names.name(1) == name


def test_finding_a_number_takes_no_longer_for_a_thousand_queues(names: QueueNames) -> None:
    def took() -> float:
        began = monotonic()
        for _ in range(2000):
            names.number("queue-0")
            names.number("queue-999")
        return monotonic() - began

    few, many = [float("inf")], [float("inf")]
    for number in (0, 999):
        names.number(f"queue-{number}")
    few = [took() for _ in range(5)]
    for number in range(1000):
        names.number(f"queue-{number}")
    many = [took() for _ in range(5)]

    assert min(many) < 3 * min(few)


def test_a_tree_of_few_queues_touches_few_pages() -> None:
    scoreboard = Scoreboard()
    for entry in scoreboard.entries[:4]:
        entry.take("worker", "worker-1")
    before = _shared_kib()

    for entry in scoreboard.entries[:4]:
        for queue in ("a", "b", "c"):
            entry.queue(queue).count("finished")
            entry.queue(queue).observe(waits_s=[0.1], runs_s=[0.1])
    tree_figures(scoreboard)

    # A page or two for each process, and two for the names.
    assert _shared_kib() - before <= 4 * (4 * 2 + 2)


def _shared_kib() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (shared,) = [line for line in lines if line.startswith("RssShmem")]
    return int(shared.split()[1])


def test_the_numbers_grow_by_one(names: QueueNames) -> None:
    given = [names.number(f"queue-{number}") for number in range(50)]

    assert {after - before for before, after in pairwise(given)} == {1}
