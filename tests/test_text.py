"""An error is told whatever goes wrong while it is put into words."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, NoReturn

import pytest

from jobsd.logs.layouts import in_json
from jobsd.logs.lines import Lines
from jobsd.text import CAUSES_MAX, error_stack, lines

if TYPE_CHECKING:
    from collections.abc import Callable

MISMATCH = "AST constructor recursion depth mismatch (before=9, after=11)"


def _raised(do: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as caught:
        do()
    return caught.value


def _inner() -> NoReturn:
    raise KeyError("inner")


def _middle() -> NoReturn:
    try:
        _inner()
    except KeyError as error:
        raise ValueError("middle") from error


def _outer() -> NoReturn:
    try:
        _middle()
    except ValueError:
        raise OSError("outer")  # noqa: B904 - its context is what is wanted


def _deep(depth: int) -> NoReturn:
    if depth:
        _deep(depth - 1)
    raise ValueError("deep")


@pytest.fixture(params=["from_exception", "format"])
def broken_format(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own formatting of tracebacks raises, as that of CPython 3.11 may."""

    def mismatch(*_: object, **__: object) -> NoReturn:
        raise SystemError(MISMATCH)

    monkeypatch.setattr(traceback.TracebackException, request.param, mismatch)


def test_a_stack_is_shown_as_python_shows_it() -> None:
    error = _raised(_outer)

    assert error_stack(error, 50) == "".join(traceback.format_exception(error))


@pytest.mark.usefixtures("broken_format")
def test_a_stack_that_python_can_not_format_lists_its_frames_and_causes() -> None:
    first, *listed = error_stack(_raised(_outer), 50).splitlines()

    assert first == "<the stack of the error raised SystemError>"
    reported = [line.rpartition(", in ")[2] for line in listed]
    assert reported == [
        *("_middle", "_inner", "KeyError"),
        *("_outer", "_middle", "ValueError"),
        *("_raised", "_outer", "OSError"),
    ]
    assert f'  File "{__file__}", line ' in listed[0]


@pytest.mark.usefixtures("broken_format")
def test_of_a_deep_stack_the_last_frames_are_listed() -> None:
    listed = error_stack(_raised(lambda: _deep(200)), 50).splitlines()

    assert len(listed) == 1 + 50 + 1
    assert listed[-2].endswith(", in _deep")


@pytest.mark.usefixtures("broken_format")
def test_causes_that_go_round_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one

    assert error_stack(one, 50).count("ValueError") == CAUSES_MAX + 1


@pytest.mark.usefixtures("broken_format")
def test_a_line_with_an_error_that_can_not_be_formatted_is_written() -> None:
    log = Lines(in_json, "worker", "worker-1", line_bytes=4096, has_priority=False)

    reported = json.loads(
        log.line("error", "thread.failed", "jobsd", {"error": _raised(_outer)})
    )

    assert (reported["error"]["type"], reported["error"]["message"]) == ("OSError", "outer")
    assert reported["error"]["stack"].endswith("OSError")


def test_lines_stay_lines_and_nothing_in_them_is_obeyed() -> None:
    assert lines("a\tb\r\nc\x1b[2J\u202e\n") == "a\tb\nc\\x1b[2J\\u202e\n"
