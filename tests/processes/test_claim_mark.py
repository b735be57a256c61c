"""How far a worker claims stands in its entry, whole or not at all."""

from __future__ import annotations

from jobsd.scoreboard.claim_mark import MARK_AT, ClaimMark, read_mark, write_mark
from jobsd.scoreboard.scoreboard import Scoreboard


def test_a_mark_is_read_as_it_was_written_until_it_is_taken_away() -> None:
    words = Scoreboard().entries[0].words
    mark = ClaimMark(-1, -(2**31), 2**62)

    seen = [read_mark(words)]
    write_mark(words, mark)
    seen.append(read_mark(words))
    write_mark(words, None)
    seen.append(read_mark(words))

    assert seen == [None, mark, None]


def test_a_mark_of_which_a_part_is_of_another_is_none() -> None:
    words = Scoreboard().entries[0].words
    write_mark(words, ClaimMark(1, 0, 500))

    words[MARK_AT + 3] = 900

    assert read_mark(words) is None


def test_the_next_process_of_an_entry_has_no_mark() -> None:
    entry = Scoreboard().entries[0]
    write_mark(entry.words, ClaimMark(1, 0, 500))

    entry.take("worker", "worker-2")

    assert read_mark(entry.words) is None
