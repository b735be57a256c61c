"""What a look at the database writes: the heartbeats of a tree."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from jobsd.clock import monotonic_ns
from jobsd.processes import registry
from jobsd.supervisor.monitor.look import Beat, look
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from monitored_tree.tree import Tree


@pytest.mark.parametrize(
    ("age_before_s", "age_s"),
    [
        pytest.param(50, 30, id="one that comes round goes on"),
        pytest.param(10, 10, id="one that has just beaten by itself is not set back"),
        pytest.param(-3600, 30, id="one goes back when the clock has"),
    ],
)
def test_a_heartbeat_goes_back_only_after_the_clock_has(
    session: Session, age_before_s: int, age_s: int
) -> None:
    row_id = registry.register(
        session, kind="worker", name="worker-thawed", supervisor_id=0, metadata={}
    )
    session.connection.execute(
        "UPDATE jobsd.processes SET last_heartbeat_at = now() - make_interval(secs => %s)",
        (age_before_s,),
    )

    seen = look(session, [Beat(row_id, monotonic_ns() - 30 * 10**9, 0)])

    (process,) = registry.processes(session)
    assert seen.beaten == {row_id}
    assert process.heartbeat_age_s == pytest.approx(age_s, abs=5)


def test_a_process_is_told_which_of_its_rounds_its_row_tells_of(tree: Tree) -> None:
    tree.start_monitor()
    moving, standing = tree.start_worker(), tree.start_worker()
    wait_until(lambda: standing.beaten_ns)
    tree.kill(standing, signal.SIGSTOP)
    stood_at_ns = monotonic_ns()

    wait_until(lambda: moving.beaten_ns > stood_at_ns)
    tree.look_passes()

    assert 0 < standing.beaten_ns == standing.ticked_ns
    assert moving.beaten_ns <= moving.ticked_ns
