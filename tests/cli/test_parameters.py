"""The kinds of words that commands take."""

from __future__ import annotations

import pytest

from jobsd.daemon.cli import cli


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["recurring", "explain", "@daily", "-n", "10001"], "from 0 to 10,000"),
        (["recurring", "explain", "@daily", "-n", "-1"], "from 0 to 10,000"),
        (["recurring", "explain", "@daily", "-n", "many"], "from 0 to 10,000"),
        (["stop", "--pid", "0"], "of at least 1"),
    ],
)
def test_a_number_out_of_its_range_is_refused_with_the_range(
    words: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words) == 2

    assert f"{words[-1]} is not a whole number {fault}" in capsys.readouterr().err
