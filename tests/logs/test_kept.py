"""What jobs print and log, kept for who looks at one of them."""

from __future__ import annotations

import io
import logging
import os
import re

import pytest
import structlog

from jobsd.jobs.current import CurrentJob, running
from jobsd.logs import capture as kept_module
from jobsd.logs import logs, redaction
from jobsd.logs.capture import KEPT, TRIES_MAX, Kept, KeptLog
from jobsd.logs.printed import Copied

MOST = 4 * 2**20
JOB = CurrentJob(7, 2, "mail", "app.send")

pytestmark = pytest.mark.usefixtures("kept_logs")


def _text(log: KeptLog) -> str:
    return "\n".join(piece.text for piece in log.pieces())


def _texts() -> list[str]:
    """Return the lines that were kept, without their times."""
    pieces, _ = KEPT.take(MOST)
    KEPT.settle(pieces, [])
    lines = "\n".join(piece.text for piece in pieces).split("\n")
    return [line[24:] if line.startswith("2") else line for line in lines]


def test_the_output_of_a_job_is_stored_with_its_attempt() -> None:
    logs.configure("json", "info", kind="worker", name="w", stream=2)
    stream = Copied(io.StringIO(), KEPT.say)
    try:
        with running(JOB):
            logging.getLogger("app.mail").warning("%d letters", 3, extra={"to": "a b"})
            logging.getLogger("app.mail").debug("too little")
            structlog.get_logger("app").info("sent", size=4)
            try:
                os.environ["GONE"]
            except KeyError:
                logging.getLogger("app").exception("no luck")
            stream.write("half a line")
        logging.getLogger("app").warning("of no job")
    finally:
        logs.reset()
    pieces, _ = KEPT.take(MOST)
    (log,) = {piece.log for piece in pieces}
    text = _text(log)

    assert (log.job_id, log.attempt) == (7, 2)
    assert 'WARNING app.mail: 3 letters to="a b"' in text
    assert "INFO app: sent size=4" in text
    assert "ERROR app: no luck" in text
    assert "test_kept.py" in text
    assert text.endswith(" half a line")
    assert "too little" not in text
    assert "of no job" not in text


def test_output_of_a_nested_perform_belongs_to_the_job() -> None:
    with running(JOB):
        with running(JOB):
            KEPT.say("inside")
        KEPT.say("outside")
    KEPT.say("behind")

    assert _texts() == ["inside", "outside"]


def test_output_past_python_is_found_by_the_id_of_the_job() -> None:
    with running(JOB):
        pass
    KEPT.say("too late", 7)
    with running(JOB):
        KEPT.say("by a program", 7)
        KEPT.say("of another", 8)

    assert _texts() == ["by a program"]


def test_passwords_are_hidden() -> None:
    redaction.hide(["s3cret-w0rd"])
    with running(JOB):
        KEPT.say("postgresql://me:hunter22@db/app and s3cret-w0rd")

    (text,) = _texts()
    assert text == "postgresql://me:***@db/app and ***"


def test_values_after_the_names_of_secrets_are_hidden() -> None:
    redaction.hide_behind(["api_key"])
    stream = Copied(io.StringIO(), KEPT.say)
    logs.configure("json", "info", kind="worker", name="w", stream=2)
    try:
        with running(JOB):
            stream.write("> Authorization: Bea")
            stream.write("rer abc\n")
            stream.write('{"api_key": "a b", "of": 5}\n')
            structlog.get_logger("app").info("paid", api_key="a b", of={"Api-Key": "c"})
    finally:
        logs.reset()
        redaction.hide_behind([])

    assert _texts() == [
        "> Authorization: ***",
        '{"api_key": ***, "of": 5}',
        'INFO app: paid api_key=*** of="{\\"Api-Key\\":***}"',
    ]


def test_first_and_last_lines_of_much_stay() -> None:
    log = KeptLog(1, 1, 1000)
    for number in range(10_000):
        log.add(f"line {number}")
    log.add("é" * 5000)
    text = _text(log)

    assert len(text.encode()) < 1100
    assert text.startswith("line 0\nline 1\n")
    assert "lines left out" in text
    assert text.endswith("é…")


def test_of_a_huge_line_the_beginning_stays_whatever_comes_after_it() -> None:
    log = KeptLog(1, 1, 1000)
    log.add("begin")
    log.add("x" * 1_000_000)
    log.add("end")

    assert _text(log) == "\n".join(["begin", "x" * 125 + "…", "end"])


def test_jobs_without_it_have_none() -> None:
    KEPT.keep(None)
    with running(JOB):
        KEPT.say("nobody wants this")

    assert not KEPT


def test_a_log_that_can_not_be_written_is_given_up_in_the_end() -> None:
    kept = Kept()
    kept.keep(100)
    kept.begin(JOB)
    kept.say("held", JOB.id)
    for _ in range(TRIES_MAX):
        pieces, _ = kept.take(MOST)
        assert pieces
        kept.put_back({piece.log for piece in pieces})

    assert not kept


def test_a_log_that_was_stored_meanwhile_is_tried_as_often_again() -> None:
    kept = Kept()
    kept.keep(2**10)
    kept.begin(JOB)
    for line in ("one", "two"):
        kept.say(line, JOB.id)
        for _ in range(TRIES_MAX - 1):
            pieces, _ = kept.take(MOST)
            kept.put_back({piece.log for piece in pieces})
        pieces, _ = kept.take(MOST)
        kept.settle(pieces, [])

        assert [piece.text[24:] for piece in pieces] == [line]


def test_a_log_that_was_given_up_has_nothing_left_to_store() -> None:
    log = KeptLog(1, 1, 1000)
    log.leave_out()
    log.give_up()

    assert not log.has_more


def test_lines_that_were_stored_and_then_left_out_count_once() -> None:
    log = KeptLog(1, 1, 1000)
    for _ in range(2):
        for number in range(200):
            log.add(f"line {number}")
        for piece in log.pieces():
            log.was_written(piece)

        assert log.unwritten == 0


def test_a_line_that_would_fit_among_the_first_keeps_its_place() -> None:
    log = KeptLog(1, 1, 1000)
    lines = ["a" * 124, "b" * 124, "c" * 124, "d" * 110, "e" * 124, "short"]
    for line in lines:
        log.add(line)

    assert _text(log).split("\n") == lines


def test_the_stream_that_is_copied_stays_as_it_is() -> None:
    stream = io.StringIO()
    lines: list[str] = []
    copied = Copied(stream, lines.append)
    copied.writelines(["one\ntw", "o\n"])

    assert stream.getvalue() == copied.getvalue() == "one\ntwo\n"
    assert lines == ["one", "two"]


def test_stored_pieces_are_not_stored_again() -> None:
    with running(JOB):
        KEPT.say("one")
        assert _texts() == ["one"]
        KEPT.say("two")
        KEPT.say("three")

        assert _texts() == ["two", "three"]
    assert not KEPT


def test_pieces_of_the_last_lines_are_removed_once_there_are_more() -> None:
    log = KeptLog(1, 1, 1000)
    stored: dict[int, str] = {}
    for number in range(1000):
        log.add(f"line {number}")
        if number % 7 == 0:
            for piece in log.pieces():
                stored[piece.number] = piece.text
                log.was_written(piece)
            for old in log.removed:
                del stored[old]
            log.removed.clear()

    lines = "\n".join(stored[number] for number in sorted(stored)).split("\n")
    (gap,) = (at for at, line in enumerate(lines) if "left out" in line)
    first, last = lines[:gap], lines[gap + 1 :]
    left_out = 995 - len(first) - len(last)
    assert lines[gap] == f"… {left_out} lines left out …"
    assert first == [f"line {number}" for number in range(len(first))]
    assert last == [f"line {number}" for number in range(995 - len(last), 995)]
    assert sum(len(line) + 1 for line in first) > 480
    assert 400 < sum(len(line) + 1 for line in last) <= 500


def test_one_statement_stores_no_more_than_its_portion() -> None:
    kept = Kept()
    kept.keep(2**20)
    kept.begin(JOB)
    for _ in range(60):
        kept.say("x" * 10_000, JOB.id)

    pieces, _ = kept.take(200_000)
    least, _ = kept.take(1)

    assert 100_000 < sum(len(piece.text) for piece in pieces) <= 200_000
    assert least == pieces[:1]


def test_one_statement_removes_a_bounded_number_of_pieces() -> None:
    kept = Kept()
    kept.keep(2**10)
    for job in (JOB, JOB._replace(id=8)):
        kept.begin(job)
        kept.say("line", job.id)
    pieces, _ = kept.take(MOST)
    for piece in pieces:
        piece.log.removed.extend(range(kept_module.REMOVED_MAX - 1))

    _, removed = kept.take(MOST)

    assert len(removed) == kept_module.REMOVED_MAX


def test_output_not_yet_stored_by_a_slow_database_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_module, "UNWRITTEN_MAX", 10_000)
    kept = Kept()
    kept.keep(2**20)
    kept.begin(JOB)
    for _ in range(1000):
        kept.say("x" * 100, JOB.id)
    pieces, _ = kept.take(MOST)
    kept.settle(pieces, [])
    kept.say("behind", JOB.id)
    more, _ = kept.take(MOST)

    assert 9_000 < sum(len(piece.text) for piece in pieces) < 11_000
    assert re.fullmatch(r"… 9\d\d lines left out …", pieces[-1].text)
    assert more[-1].text.endswith("behind")


def test_a_character_that_can_not_be_stored_holds_up_no_log() -> None:
    with running(JOB):
        KEPT.say("before\0after")

    assert _texts() == ["before\N{REPLACEMENT CHARACTER}after"]


def test_logs_that_were_dropped_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_module, "UNWRITTEN_MAX", 10_000)
    kept = Kept()
    kept.keep(2**20)
    kept.begin(JOB)
    for _ in range(200):
        kept.say("x" * 100, JOB.id)
    kept.end(JOB)
    kept.forget()

    kept.begin(JOB)
    kept.say("another time", JOB.id)

    pieces, _ = kept.take(MOST)
    assert [piece.text[24:] for piece in pieces] == ["another time"]
