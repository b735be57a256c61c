"""An installation without libpq, as `pip install jobsd` leaves it on a bare machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_WITHOUT = (
    "import ctypes.util, sys; ctypes.util.find_library = lambda name: None;"
    " sys.modules['psycopg_binary'] = sys.modules['psycopg_c'] = None;"
    " sys.argv[0] = 'jobsd'; from jobsd.daemon.entry_point import main; main()"
)


@pytest.mark.failure(
    "jobsd is installed with neither psycopg's own libpq nor the system's.",
    "One sentence that says what to install, and exit status 78.",
)
@pytest.mark.parametrize("command", ["", "enqueue x", "status", "db migrate", "ps"])
def test_a_missing_libpq_is_reported_in_one_sentence(command: str) -> None:
    done = _without_libpq(*command.split())

    assert (done.returncode, done.stdout) == (78, "")
    (reported,) = done.stderr.splitlines()
    assert ("libpq5" in reported, "jobsd[binary]" in reported) == (True, True)


def test_it_is_reported_so_too_where_psycopg_was_shown_which_libpq_to_use() -> None:
    done = _without_libpq("ps", PSYCOPG_IMPL="python")

    assert (done.returncode, len(done.stderr.splitlines())) == (78, 1)


@pytest.mark.parametrize("command", ["version", "--help", "check"])
def test_what_needs_no_database_needs_no_libpq(command: str) -> None:
    assert _without_libpq(*command.split()).returncode == 0


def _without_libpq(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT, *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
