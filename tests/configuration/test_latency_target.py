"""`monitor.latency_target` is one time for all queues, or a time for each queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.configuration.flags import Flags
from jobsd.configuration.listed import settings

if TYPE_CHECKING:
    from configuration.project import Project


@pytest.mark.parametrize(
    ("written", "targets_s"),
    [
        ("null", None),
        ("30s", {"default": 30.0}),
        ("{default: 1m, mail: 10s}", {"default": 60.0, "mail": 10.0}),
        ("{mail: 500ms, 7: 2}", {"mail": 0.5, "7": 2.0}),
    ],
)
def test_a_target_is_for_all_queues_or_for_each(
    project: Project, written: str, targets_s: dict[str, float] | None
) -> None:
    project.queue(f"monitor: {{latency_target: {written}}}")

    assert project.load().monitor.latency_targets_s == targets_s


def test_an_environment_changes_the_target_of_one_queue(project: Project) -> None:
    project.queue("""
        default:
          monitor: {latency_target: {default: 1m, mail: 10s}}
        production:
          monitor: {latency_target: {mail: 5s}}
    """)
    project.environ = {"JOBSD_ENV": "production"}

    assert project.load().monitor.latency_targets_s == {"default": 60.0, "mail": 5.0}


def test_each_faulty_target_is_named_with_its_place(project: Project) -> None:
    project.queue("monitor: {latency_target: {m*: 10s, slow: fast, night: 2d, x: null}}")

    faults = project.faults()

    assert [fault.source.rpartition(":")[2] for fault in faults] == ["28", "43", "56", "63"]
    assert [fault.message.removeprefix("monitor.latency_target.") for fault in faults] == [
        'm* must be the name of one queue, without commas and stars, not "m*"',
        'slow must be a duration, not "fast"',
        'night must be from 100ms to 1d, not "2d"',
        "x must be a duration, not an empty value",
    ]


def test_a_list_of_targets_is_refused(project: Project) -> None:
    project.queue("monitor: {latency_target: [10s]}")

    assert project.fault().message == "monitor.latency_target must be a duration, not a list"


def test_the_targets_are_listed_as_times(project: Project) -> None:
    project.queue("monitor: {latency_target: {default: 1m, mail: 10s}}")

    rows = {row["setting"]: row for row in settings(project.root, {}, Flags())}

    row = rows["monitor.latency_target"]
    assert (row["value"], row["seconds"]) == ({"default": 60.0, "mail": 10.0}, True)
