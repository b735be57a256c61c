"""What jobs print becomes lines of the log."""

from __future__ import annotations

import threading

from jobsd.instruments.printed import LINE_MAX, Printed


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
