"""Rows say by which times their processes are judged, and whoever looks goes by the longest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some

from jobsd.performing.runner import FRESH
from jobsd.processes import registry
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.scoreboard.thresholds import DEFAULTS, Thresholds, dead_after_s, thresholds_of
from jobsd.supervisor.hang_detection import DUMP_S, LATER_S
from jobsd.supervisor.recovery.peers import Peers

if TYPE_CHECKING:
    from jobsd.database.connection import Session

SAID = Thresholds(2, 5, 3.5)
A_MOMENT_S = 0.1
"""What a signal and a look may take on a machine that is not starved."""


def test_thresholds_are_read_back_from_metadata() -> None:
    assert thresholds_of(SAID.metadata()) == SAID


def test_the_scoreboard_keeps_the_thresholds_of_the_supervisor() -> None:
    scoreboard = Scoreboard()

    scoreboard.thresholds = SAID

    assert scoreboard.thresholds == SAID


def test_a_registered_process_stores_its_thresholds(session: Session) -> None:
    registry.register(
        session, kind="worker", name="w", supervisor_id=0, metadata={}, thresholds=SAID
    )

    (row,) = registry.processes(session)
    assert thresholds_of(row.metadata) == SAID


@pytest.mark.parametrize(
    "said", ["", "soon", "-1", "0", "nan", "inf", "1e999", None, [], {}, "0x10"]
)
def test_an_invalid_time_counts_as_the_default(said: object) -> None:
    metadata = {**SAID.metadata(), "hang_timeout": said, "started": "1"}

    assert thresholds_of(metadata) == DEFAULTS


def test_a_row_without_thresholds_is_of_an_older_program_or_none() -> None:
    assert thresholds_of({"started": "123", "threads": 3}) == DEFAULTS
    assert thresholds_of({"threads": 3}) is None
    assert dead_after_s(None, 5.0) == 5.0


def test_no_row_keeps_itself_for_ever() -> None:
    boundless = thresholds_of({**SAID.metadata(), "process_alive_threshold": 1e300})

    assert dead_after_s(boundless, 60.0) == 7 * 86_400.0


@given(
    interval_s=some.floats(0.1, 86_400 / 3),
    above=some.floats(2.001, 30),
    threshold_s=some.floats(0.3, 7 * 86_400),
    hang_s=some.floats(5, 86_400),
)
def test_whatever_two_trees_have_set_nothing_runs_in_both(
    interval_s: float, above: float, threshold_s: float, hang_s: float
) -> None:
    looker = Peers(interval_s * above, interval_s)
    theirs = Thresholds(threshold_s / 3, threshold_s, hang_s)

    dead_s = dead_after_s(theirs, interval_s * above, looker.jitter_s) - looker.jitter_s

    trust_s = threshold_s / 2
    assert trust_s + trust_s * FRESH < dead_s  # the last start of a claimed job
    assert hang_s + LATER_S + DUMP_S + A_MOMENT_S < dead_s  # the end of one that hangs
