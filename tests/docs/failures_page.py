"""Makes docs/evidence/failures.md of the marks of the tests and of the last results on record.

    python tests/docs/failures_page.py

Run it when a test gets or loses a mark, and after results were recorded (see results.py).
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])

from docs.results import ChaosRun, Outcome, Results, read
from marks import TESTS, Marked, marked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PAGE = TESTS.parent / "docs/evidence/failures.md"

HEAD = """\
<!-- Made by tests/docs/failures_page.py of the marks of the tests; change those instead. -->

# What the tests break, and what happens

Each row is a test with real processes, signals, sockets and a real PostgreSQL. A test states
what it breaks by its mark, `@pytest.mark.failure("what is broken", "what happens")`, and its
name is the sentence that it asserts. The name is followed by the commit and the day of the last
recorded run. Tests that take minutes are run by `bin/test -m long`.
"""

CHAOS = """
## All of it at once

`python -m tests.chaos --minutes 5 --seed N` enqueues jobs of all kinds in all ways on two trees
that share a database, and meanwhile kills, stops, freezes and disconnects at random: processes
of every kind, whole trees, connections, backends, the server. Then it compares what the jobs
report of themselves, what the calls that enqueued returned, what PostgreSQL recorded in which
transaction, and until when each process was alive. Every figure has to be 0:

- **lost**: a committed job does not exist, or is in no table, or a planned instant has no job;
- **there though rolled back**, or though the call reported that it was not enqueued; **stored
  in part**: some jobs of a bulk; **stored twice**;
- **recorded twice**: a second outcome, or an attempt counted twice; **recorded wrongly**: an
  outcome that does not agree with the job's last run;
- **ended unlawfully**: a cancelled job that failed, that finished without having started, or
  that was never cancelled; a job that expired although it may not; a job that failed by a time
  limit that it does not have; **begun too late**: after it had expired; **two of one key**
  among unique jobs; **effects not once**: of a job that completes in the transaction of its
  effects;
- **run too often**: more often than its attempts, without a claim of its own, twice for one
  claim, after its claim was taken away, or without a counted attempt although its process was
  not asked to stop;
- **limit exceeded**; **slots leaked**; **in two places**; **stuck** after the last disturbance;
- **left behind**: a process or a row after the end; **own errors**: an error of jobsd itself in
  a log, or a supervisor that exited by itself.
"""


@dataclass(frozen=True, slots=True)
class Theme:
    """Tests whose files begin with one of some paths."""

    title: str
    paths: Sequence[str]


THEMES = (
    Theme("Starting", ("failures/test_boot", "setup", "cli", "commands", "tree",
        "generate", "configuration", "django_app")),
    Theme("Processes that die", ("failures/test_deaths", "failures/test_long",
        "docs/test_recipes", "supervisor/test_deaths",
        "system/test_killed", "worker/test_fence", "supervisor/test_monitor_deaths",
        "supervisor/test_monitor_rows", "supervisor/test_forking", "web_servers")),
    Theme("Processes that stand still", ("failures/test_hangs", "supervisor/test_hanging",
        "supervisor/test_judgement", "supervisor/test_monitor_peers")),
    Theme("Signals, and the end", ("failures/test_signals", "supervisor",
        "system/test_stopping", "system/test_single", "system/test_recycling",
        "system/test_long_jobs")),
    Theme("The database", ("outages", "database", "embedded", "system/test_outages",
        "docs/test_async", "supervisor/test_monitor_outages")),
    Theme("Jobs that misbehave", ("worker", "performing", "jobs", "enqueueing",
        "acts", "states", "arguments", "dispatcher", "system")),
    Theme("Recurring tasks and clocks", ("failures/test_clocks", "scheduler", "recurring",
        "heartbeat")),
    Theme("Machines and containers", ("hosts", "failures/test_containers", "failures")),
    Theme("systemd", ("systemd",)),
    Theme("What lies around it", ("events", "logs", "metrics", "processes", "scoreboard",
        "security", "packaging", "web")),
    Theme("At random", ("chaos",)),
)  # fmt: skip


def page(tests: Iterable[Marked], results: Results) -> str:
    """Return the text of the page."""
    rows = [(_theme(test), test) for test in tests]
    lines = [HEAD]
    for theme in THEMES:
        mine = [test for each, test in rows if each is theme]
        if mine:
            lines += [f"\n## {theme.title}\n", "| what is broken | what happens | tests |"]
            lines.append("|-|-|-|")
            lines += _rows(mine, results)
    lines += [CHAOS, *_chaos(results.chaos)]
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


def _theme(test: Marked) -> Theme:
    """Return the theme of which a path says most: the longest that the test's begins with."""
    path = str(test.path.relative_to(TESTS))
    found = [
        (len(start), theme)
        for theme in THEMES
        for start in theme.paths
        if path.startswith(start)
    ]
    return max(found, key=lambda each: each[0])[1]


def _rows(tests: list[Marked], results: Results) -> list[str]:
    """Return a row for each thing that is broken; tests of the same one share it."""
    rows: dict[tuple[Any, ...], list[Marked]] = {}
    for test in tests:
        for said in test.marks["failure"]:
            rows.setdefault(said, []).append(test)
    lines: list[str] = []
    for (broken, happens), proofs in rows.items():
        links = "<br>".join(f"{test.link}{_last(results.of(test.id))}" for test in proofs)
        lines.append(f"| {_sentence(broken)} | {_sentence(happens)} | {links} |")
    return lines


def _sentence(said: str) -> str:
    return said[0].upper() + said[1:].rstrip(".")


def _last(outcomes: list[Outcome]) -> str:
    """Return what is on record of one test: its cases, when they differ, one by one."""
    said = Counter(
        f"{'' if each.passed else '**failed** '}{'long, ' if each.long else ''}"
        f"{each.commit} {each.date}"
        for each in outcomes
    )
    return f" ({'; '.join(sorted(said))})" if said else ""


def _chaos(runs: list[ChaosRun]) -> list[str]:
    if not runs:
        return []
    lines = [
        "The runs on record:\n",
        "| seed | minutes | troubles | jobs | runs | processes | figures that are not 0 | at |",
        "|-|-|-|-|-|-|-|-|",
    ]
    lines += [
        f"| {run.seed} | {run.minutes:g} | {run.troubles:,} | {run.jobs:,} | {run.runs:,}"
        f" | {run.processes:,} | {run.wrong or 'none'} | {run.commit} {run.date} |"
        for run in runs
    ]
    return lines


if __name__ == "__main__":
    PAGE.write_text(page(marked("failure"), read()), encoding="utf-8")
