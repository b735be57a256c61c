"""What jobs print becomes lines of the log."""

from __future__ import annotations

import io
import sys
import threading
from typing import TYPE_CHECKING

from jobsd.instruments import logs
from jobsd.instruments.printed import LINE_MAX, Printed
from jobsd.jobs.current import CurrentJob, running

if TYPE_CHECKING:
    import pytest

    from instruments.readable_log import Log


def _printed() -> tuple[list[str], Printed]:
    told: list[str] = []
    return told, Printed(told.append)


def test_each_line_is_told_once_it_is_complete() -> None:
    told, printed = _printed()

    print("one", file=printed)
    print("two", end=" ", file=printed)
    print("and three\nfour", file=printed)

    assert told == ["one", "two and three", "four"]


def test_the_lines_of_two_threads_are_not_mixed() -> None:
    told, printed = _printed()

    printed.write("mine ")
    other = threading.Thread(target=lambda: print("other", file=printed))
    other.start()
    other.join()
    printed.write("alone\n")

    assert told == ["other", "mine alone"]


def test_a_line_without_an_end_is_ended() -> None:
    told, printed = _printed()

    printed.write("x" * (LINE_MAX + 1))

    assert told == ["x" * (LINE_MAX + 1)]


def test_what_a_job_prints_is_a_line_of_the_log_with_its_id(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    logs.take_prints()

    with running(CurrentJob(7, 1, "mail", "welcome")):
        print("welcome")

    line = log.line()
    assert (line["event"], line["logger"], line["job_id"]) == ("welcome", "print", 7)


def test_what_is_printed_stays_as_it_is_where_the_log_is_for_people(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))
    log.configure("console")
    logs.take_prints()

    with running(CurrentJob(7, 1, "mail", "welcome")):
        print("welcome")

    assert (written.getvalue(), log.text()) == (b"welcome\n", "")
