"""What jobs print becomes lines of the log."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from jobsd.jobs.current import CurrentJob, running
from jobsd.logs import logs
from jobsd.logs.printed import LINE_MAX, UNENDED, Printed, end_lines

if TYPE_CHECKING:
    from logs.readable_log import Log


def _printed() -> tuple[list[str], Printed]:
    reported: list[str] = []
    return reported, Printed(reported.append)


def test_each_line_is_logged_once_it_is_complete() -> None:
    reported, printed = _printed()

    print("one", file=printed)
    print("two", end=" ", file=printed)
    print("and three\nfour", file=printed)

    assert reported == ["one", "two and three", "four"]


def test_the_lines_of_two_threads_are_not_mixed() -> None:
    reported, printed = _printed()

    printed.write("mine ")
    other = threading.Thread(target=lambda: print("other", file=printed))
    other.start()
    other.join()
    printed.write("alone\n")

    assert reported == ["other", "mine alone"]


def test_a_thread_whose_line_was_ended_has_none_to_end() -> None:
    _, printed = _printed()
    printed.write("half")
    assert threading.get_ident() in UNENDED

    end_lines()

    assert threading.get_ident() not in UNENDED


def test_a_line_without_an_end_is_ended() -> None:
    reported, printed = _printed()

    printed.write("x" * (LINE_MAX + 1))

    assert reported == ["x" * (LINE_MAX + 1)]


def test_the_end_of_a_line_that_was_ended_is_no_other_line() -> None:
    reported, printed = _printed()
    long = "x" * (LINE_MAX + 1)

    print(long, file=printed)
    print(file=printed)
    print(long, "one\ntwo", file=printed)
    printed.write(long)
    printed.write("and its end\n")

    assert reported == [long, "", long, " one", "two", long, "and its end"]


def test_a_printed_line_of_a_job_is_logged_with_its_id(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    logs.take_prints()

    with running(CurrentJob(7, 1, "mail", "welcome")):
        print("welcome")

    line = log.line()
    assert (line["event"], line["logger"], line["job_id"]) == ("welcome", "print", 7)


def test_printed_text_stays_unchanged_in_a_console_log(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))
    log.configure("console")
    logs.take_prints()

    with running(CurrentJob(7, 1, "mail", "welcome")):
        print("welcome")

    assert (written.getvalue(), log.text()) == (b"welcome\n", "")


@pytest.mark.failure(
    "A job prints text without a line's end.",
    "It becomes a line of its own when the job ends, with its id: it never begins a line of"
    " another job",
)
def test_an_unfinished_printed_line_belongs_to_its_job(log: Log) -> None:
    logs.take_prints()

    for number, printed in ((7, "mine"), (8, "other's")):
        with running(CurrentJob(number, 1, "mail", "welcome")):
            print(printed, end="")

    assert [(line["event"], line["job_id"]) for line in log.lines()] == [
        ("mine", 7),
        ("other's", 8),
    ]


def test_the_unfinished_line_of_a_failing_job_is_logged(log: Log) -> None:
    logs.take_prints()

    with contextlib.suppress(ValueError), running(CurrentJob(7, 1, "mail", "welcome")):
        sys.stdout.write("half")
        sys.stderr.write("other half")
        raise ValueError

    assert {line["event"] for line in log.lines()} == {"half", "other half"}


def test_the_unfinished_line_of_an_ending_process_is_logged(log: Log) -> None:
    logs.take_prints()
    print("last words", end="")

    logs.finish()

    assert log.line()["event"] == "last words"


def test_a_character_printed_byte_by_byte_is_one(log: Log) -> None:
    logs.take_prints()

    with running(CurrentJob(7, 1, "mail", "welcome")):
        for byte in "é\n".encode():
            sys.stdout.buffer.write(bytes([byte]))
        sys.stdout.buffer.write(b"half \xc3")

    assert [line["event"] for line in log.lines()] == ["é", "half \\xc3"]
