"""Puts mutants into the copy, one after the other, and lets their tests say what they see."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

import psutil

from jobsd.clock import monotonic
from jobsd.supervisor.kernel import adopt_orphans
from kept import kept_folder
from mutants.results import Result

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from mutants.copied import Copy
    from mutants.table import Mutant

HANGS_S = 60
"""A test that a mutant keeps from ending is stopped, unless it says itself when."""
LONGEST_S = 400.0
"""All that one mutant may take, if nothing stops its test."""
LEAVES_S = 10.0
"""What is still running after the tests has this long to end by itself."""

_PYTEST = ("-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-m", "", f"--timeout={HANGS_S}")
_ALL = ("--maxfail=100000",)
_SOME_FAILED = 1
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE)
_TIMED_OUT = "+++ Timeout +++"
"""What pytest-timeout writes where it has to end pytest itself."""


class UntestableError(Exception):
    """The tests say nothing of a mutant: they are not found, or fail without it."""


@contextlib.contextmanager
def server() -> Generator[str]:
    """Yield the URL of a server for all tests: given, or started before any mutant is there."""
    if given := os.environ.get("JOBSD_TEST_DATABASE_URL"):
        adopt_orphans()
        yield given
        return
    from jobsd.database.clients import other_clients
    from jobsd.embedded import Server, location

    root = kept_folder("jobsd-mutants-")
    environ = {**os.environ, "JOBSD_EMBEDDED_DIR": str(root / "postgres")}
    embedded = Server(location(root, environ), environ, other_clients)
    try:
        url = embedded.ensure()
        # From now on, so that the server is nobody's child.
        adopt_orphans()
        yield url
    finally:
        embedded.stop()
        shutil.rmtree(root, ignore_errors=True)


def try_one(copy: Copy, mutant: Mutant, server_url: str) -> Result:
    """Let a mutant live for as long as its test takes."""
    began = monotonic()
    with copy.with_(mutant):
        status, reported = _pytest(copy, [mutant.test], server_url)
    outcome = _outcome(mutant, status, reported)
    by = _FAILED.search(reported)
    return Result(outcome, monotonic() - began, by[1] if by and outcome == "killed" else "")


def check(copy: Copy, tests: Iterable[str], server_url: str) -> None:
    """See to it that the tests pass without any mutant.

    Raises:
        UntestableError: some don't, twice; a machine that is busy may fail one once.
    """
    status, reported = _pytest(copy, [*_ALL, *sorted(set(tests))], server_url, longest_s=None)
    if status == _SOME_FAILED:
        failed = [found[1] for found in _FAILED.finditer(reported)]
        status, reported = _pytest(copy, [*_ALL, *failed], server_url, longest_s=None)
    if status:
        raise UntestableError(f"the tests do not pass without a mutant:\n{reported[-3000:]}")


def _pytest(
    copy: Copy, arguments: list[str], server_url: str, longest_s: float | None = LONGEST_S
) -> tuple[int | None, str]:
    """Run tests in the copy; return the exit status, None if they did not end, and the text."""
    environ = {**os.environ, "JOBSD_TEST_DATABASE_URL": server_url}
    # With CI set, pytest shows how two long lists differ, which may take it minutes.
    for name in ("PYTHONPATH", "CI", "BUILD_NUMBER"):
        environ.pop(name, None)
    ours = psutil.Process().children()
    # A file: what a mutant leaves running would hold a pipe open.
    with tempfile.TemporaryFile() as output:
        pytest = subprocess.Popen(
            [copy.pytest, *_PYTEST, *arguments],
            cwd=copy.root, env=environ, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            status = pytest.wait(longest_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            pytest.kill()
            pytest.wait()
            _end_what_is_left(ours)
        output.seek(0)
        return status, output.read().decode(errors="replace")


def _end_what_is_left(ours: list[psutil.Process]) -> None:
    """End what a mutant has left running, once it had time to end by itself.

    Orphans come to us: see `adopt_orphans`.
    """
    left = [child for child in psutil.Process().children() if child not in ours]
    _, left = psutil.wait_procs(left, LEAVES_S)
    for child in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in (*child.children(recursive=True), child):
                # The end of one may end others: a server ends its sessions itself.
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
    psutil.wait_procs(left)


def _outcome(mutant: Mutant, status: int | None, reported: str) -> str:
    if status is None or (status == _SOME_FAILED and _names_a_test(reported)):
        return "killed"
    if status:
        raise UntestableError(f"{mutant.id}: {mutant.test} can't be run:\n{reported[-3000:]}")
    return "survived" if re.search(r"\b\d+ passed", reported) else "skipped"


def _names_a_test(reported: str) -> bool:
    """Return whether a test failed: a Python that can't load pytest ends with 1, too."""
    return _TIMED_OUT in reported or _FAILED.search(reported) is not None
