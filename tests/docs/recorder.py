"""The part of pytest that records results: `--record`."""

from __future__ import annotations

import pytest

from docs.results import Outcome, commit_and_day, read, write
from marks import marked


class Recorder:
    """Takes down the outcomes of the tests that bear the mark; writes them at the end."""

    def __init__(self) -> None:
        self.commit, self.day = commit_and_day()
        self._outcomes: dict[str, Outcome] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in what became of one phase of a test; one that fails is the test's."""
        if "failure" not in report.keywords or report.skipped:
            return
        before = self._outcomes.get(report.nodeid)
        if report.when == "call" or report.failed or before is not None:
            passed = report.passed and (before is None or before.passed)
            long = "long" in report.keywords
            self._outcomes[report.nodeid] = Outcome(passed, long, self.commit, self.day)

    def pytest_sessionfinish(self) -> None:
        """Add the outcomes to what is on record; tests that are no more are dropped."""
        results = read()
        results.keep(test.id for test in marked("failure"))
        results.tests.update(self._outcomes)
        write(results)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    reported = "write the results of tests that break something to docs/evidence/failures.json"
    parser.addoption("--record", action="store_true", help=reported)


def pytest_configure(config: pytest.Config) -> None:
    """Begin to record, if that is wanted; workers of xdist report to who started them."""
    if config.getoption("--record") and not hasattr(config, "workerinput"):
        try:
            config.pluginmanager.register(Recorder(), "recorder")
        except RuntimeError as error:
            raise pytest.UsageError(str(error)) from error
