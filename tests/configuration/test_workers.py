"""What a worker's keys may hold, and the faults when they may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from configuration.project import Project


def test_a_worker_takes_the_values_of_its_keys(project: Project) -> None:
    worker = project.worker(
        "queues: [urgent, 'mail_*'], threads: 256, processes: 64, polling_interval: 250ms,"
        " prefetch: 10, max_jobs: 1000, max_memory: 512MB, max_age: 1d"
    )

    assert worker.queues == ("urgent", "mail_*")
    assert (worker.threads, worker.processes, worker.polling_interval_s) == (256, 64, 0.25)
    assert (worker.prefetch, worker.max_jobs) == (10, 1000)
    assert (worker.max_memory, worker.max_age_s) == (512 << 20, 86_400.0)


@pytest.mark.parametrize(
    ("queues", "read"),
    [
        ('"*"', ("*",)),
        ("urgent", ("urgent",)),
        ('"a, b*,c"', ("a", "b*", "c")),
        ("[]", ("*",)),
        ("", ("*",)),
        ("[1, 007, no]", ("1", "007", "no")),
        ('["100%_sure"]', ("100%_sure",)),
        ("[" + "q" * 255 + "]", ("q" * 255,)),
    ],
)
def test_queues_are_a_text_or_a_list(
    project: Project, queues: str, read: tuple[str, ...]
) -> None:
    assert project.worker(f"queues: {queues}").queues == read


@pytest.mark.behaviour(42)
@pytest.mark.parametrize(
    ("queues", "message"),
    [
        ("'*x'", 'workers[0].queues may have a star only at the end of a name, unlike "*x"'),
        (
            "['a*b']",
            'workers[0].queues[0] may have a star only at the end of a name, unlike "a*b"',
        ),
        (
            "['**']",
            'workers[0].queues[0] may have a star only at the end of a name, unlike "**"',
        ),
        ("['a,b']", 'workers[0].queues[0] must be one queue, without a comma, not "a,b"'),
        (
            "['']",
            'workers[0].queues[0] must have 1 to 255 bytes, and no NUL among them, not ""',
        ),
        (
            "'a,,b'",
            'workers[0].queues must have 1 to 255 bytes, and no NUL among them, not ""',
        ),
        (
            '["\\b"]',
            'workers[0].queues[0] must be printable text without spaces at its ends, not "\\b"',
        ),
        (
            "[' a*']",
            'workers[0].queues[0] must be printable text without spaces at its ends, not " a*"',
        ),
        ("{a: b}", "workers[0].queues must be a list, not a mapping"),
        ("[[a]]", "workers[0].queues[0] must be a text, not a list"),
        ("[null]", "workers[0].queues[0] must not be empty"),
    ],
)
def test_a_selector_that_matches_no_queue_is_a_fault(
    project: Project, queues: str, message: str
) -> None:
    project.queue(f"workers: [{{queues: {queues}}}]")

    assert project.fault().message == message


@pytest.mark.parametrize("pattern", ["'*x'", "'a*b'", "''"])
def test_a_bad_pattern_is_reported_with_its_line_and_column(
    project: Project, pattern: str
) -> None:
    project.queue(f"\nworkers: [{{queues: [a, {pattern}]}}]")

    fault = project.fault()
    assert fault.source.endswith("queue.yml:2:24")
    assert "^" in fault.excerpt.splitlines()[-1]


def test_a_name_of_256_bytes_is_too_long(project: Project) -> None:
    project.queue(f"workers: [{{queues: [{'é' * 128}]}}]")

    assert "must have 1 to 255 bytes" in project.fault().message


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("threads: 0", "threads must be a whole number from 1 to 256, not 0"),
        ("threads: 257", "threads must be a whole number from 1 to 256, not 257"),
        ("threads: 1.5", "threads must be a whole number from 1 to 256, not 1.5"),
        ("threads: true", "threads must be a whole number from 1 to 256, not true"),
        ("threads: '3'", 'threads must be a whole number from 1 to 256, not "3"'),
        ("threads: ", "threads must be a whole number from 1 to 256, not an empty value"),
        ("threads: [3]", "threads must be a whole number from 1 to 256, not a list"),
        (
            "threads: " + "9" * 500,
            f'threads must be a whole number from 1 to 256, not "{"9" * 59}…"',
        ),
        ("processes: -1", "processes must be a whole number from 0 to 64, not -1"),
        ("polling_interval: 0", "polling_interval must be from 1ms to 1d, not 0"),
        ("polling_interval: -1", "polling_interval must be a duration, not -1"),
        ("polling_interval: 2d", 'polling_interval must be from 1ms to 1d, not "2d"'),
        ("polling_interval: 1:30", 'polling_interval must be a duration, not "1:30"'),
        ("polling_interval: .inf", 'polling_interval must be a duration, not ".inf"'),
        (
            "prefetch: some",
            'prefetch must be auto, or a whole number from 0 to 10000, not "some"',
        ),
        ("max_memory: 1KB", 'max_memory must be at least 1MB, not "1KB"'),
        ("max_memory: big", 'max_memory must be a size, not "big"'),
        ("max_jobs: 0", "max_jobs must be a whole number from 1 to 2147483647, not 0"),
    ],
)
def test_a_value_out_of_bounds_is_a_fault(project: Project, written: str, message: str) -> None:
    project.queue(f"workers:\n  - {written}")

    assert project.fault().message == f"workers[0].{message}"


def test_a_number_in_quotes_gets_a_hint_to_remove_them(project: Project) -> None:
    project.queue("workers: [{threads: '3'}]")

    assert project.fault().hint == "remove the quotes"


@pytest.mark.parametrize(("written", "prefetch"), [("auto", None), ("0", 0), ("10000", 10_000)])
def test_prefetch_is_auto_or_a_number(
    project: Project, written: str, prefetch: int | None
) -> None:
    assert project.worker(f"prefetch: {written}").prefetch == prefetch


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("512MB", 512 << 20),
        ("2GB", 2 << 30),
        ("1.5 GiB", 3 << 29),
        ("1073741824", 1 << 30),
        ("700m", 700 << 20),
        ("null", None),
    ],
)
def test_sizes_are_bytes_or_have_a_unit(
    project: Project, written: str, size: int | None
) -> None:
    assert project.worker(f"max_memory: {written}").max_memory == size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0.5", 0.5),
        ("250ms", 0.25),
        ("30s", 30.0),
        ("10m", 600.0),
        ("2h", 7200.0),
        ("'3'", 3.0),
    ],
)
def test_durations_are_seconds_or_have_a_unit(
    project: Project, written: str, seconds: float
) -> None:
    assert project.worker(f"polling_interval: {written}").polling_interval_s == seconds


def test_a_worker_has_coroutines_instead_of_threads(project: Project) -> None:
    given, neither = project.worker("coroutines: 1000"), project.worker("queues: a")

    assert (given.coroutines, given.at_once) == (1000, 1000)
    assert (neither.coroutines, neither.threads, neither.at_once) == (None, 3, 3)


def test_threads_and_coroutines_in_one_entry_are_a_fault(project: Project) -> None:
    project.queue("workers:\n  - threads: 3\n    coroutines: 100\n  - threads: 5\n")

    assert project.shown() == (
        "error: workers[0].coroutines can't be given beside threads\n"
        "  at config/queue.yml:3:17\n"
        "     3 |     coroutines: 100\n"
        "       |                 ^^^\n"
        "hint: a worker runs so many jobs at once, of any kind: keep one of the two"
    )


@pytest.mark.parametrize("count", ["0", "1001", "many"])
def test_coroutines_are_from_one_to_a_thousand(project: Project, count: str) -> None:
    project.queue(f"workers: [{{coroutines: {count}}}]")

    assert "coroutines must be a whole number from 1 to 1000" in project.shown()
