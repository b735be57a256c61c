"""Whatever is typed, or stored by somebody, no command breaks down or commands the terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobsd.daemon.cli import cli
from jobsd.daemon.statuses import CRASHED
from jobsd.enqueueing import client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target
    from rows import Rows

# Escape, the C1 codes, DEL, and what turns text around or hides it.
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]")
HOSTILE = "a\x1b[2J\x1b]0;title\x07\x9b31m\x7f\u202eb\r\x00"
STORED = HOSTILE.replace("\x00", "") + "世界\U0001f600" * 3
VERBS = (
    "status",
    "list",
    "show",
    "failures",
    "retry",
    "discard",
    "queues",
    "queues pause",
    "ps",
    "recurring",
    "recurring show",
    "recurring explain",
    "heartbeat recent",
    "heartbeat by-host",
    "health",
    "enqueue",
    "audit",
    "config show",
    "db status",
    "metrics",
    "generate procfile",
    "check",
    "lits",
)
WORDS = st.one_of(
    st.sampled_from(
        [
            *("--json", "--wide", "--header", "--color", "always", "--columns", "id,state"),
            *("-o", "tsv", "name", "--ids"),
            *("--all", "--yes", "--dry-run", "-n", "--limit", "--queue", "--class", "--error"),
            *(
                "--state",
                "failed",
                "--since",
                "1h",
                "--within",
                "--at",
                "--",
                "-",
                "-h",
                "--debug",
            ),
            *("1", "0", "-1", "99999999999999999999", "1e400", "nan", "[1]", "{", "*", HOSTILE),
        ]
    ),
    st.text(max_size=12),
    st.text(alphabet=HOSTILE + "\ud800'\"\\%{}$;", max_size=12),
)


@pytest.fixture
def _there(target: Target, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the database of the commands hold what nobody should have stored."""
    job = rows(
        "INSERT INTO jobsd.jobs (queue_name, class_name, arguments, attempts)"
        " VALUES (%s, %s, %s::jsonb, 1) RETURNING id",
        *(STORED, STORED, json.dumps([STORED, {STORED: STORED}])),
    )[0]
    error = json.dumps({"type": STORED, "message": f"{STORED}\n{STORED}", "stack": STORED})
    rows(
        "INSERT INTO jobsd.failed_executions (job_id, error) VALUES (%s, %s::jsonb)", job, error
    )
    rows("INSERT INTO jobsd.pauses (queue_name) VALUES (%s)", STORED)
    rows(
        "INSERT INTO jobsd.heartbeat_logs (environment, hostname) VALUES (%s, %s)",
        *(STORED, STORED),
    )
    rows(
        "INSERT INTO jobsd.processes (kind, name, pid, hostname) VALUES ('worker', %s, 1, %s)",
        *(STORED, STORED),
    )
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, description)"
        " VALUES (%s, 'every hour', %s, %s)",
        *(STORED, STORED, STORED),
    )
    for name in [name for name in os.environ if name.startswith("JOBSD")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATABASE_URL", target.url)
    yield
    client.configure()


class _Terminal(io.StringIO):
    """A terminal of some width, for what a command prints."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self.named = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What it says that it can show."""
        return self.named

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


def _run(words: list[str], width: int, encoding: str = "utf-8") -> tuple[int, str]:
    out, err = _Terminal(encoding), _Terminal(encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("LINES", "24")
        patch.setattr("sys.stdin", io.StringIO())
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.run(words)
    return status, out.getvalue() + err.getvalue()


def _without_colours(text: str) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", text)


@pytest.mark.usefixtures("_there")
def test_no_words_break_a_command_or_reach_the_terminal(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))

    @settings(max_examples=150)
    @example("list", ["\ud800"], 80)
    @given(st.sampled_from(VERBS), st.lists(WORDS, max_size=4), st.sampled_from((60, 80, 120)))
    def attack(verb: str, words: list[str], width: int) -> None:
        status, reported = _run([*verb.split(), *words], width)

        assert status != CRASHED, reported
        assert "Traceback" not in reported or "--debug" in words
        assert not RAW.search(_without_colours(reported)), reported

    attack()


@pytest.mark.usefixtures("_there")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_stored_control_characters_reach_no_terminal(
    width: int, encoding: str, rows: Rows, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    job = str(rows("SELECT id FROM jobsd.jobs")[0])
    screens = ["status", "list", f"show {job}", "failures", "queues", "ps", "heartbeat recent"]
    screens += ["recurring list", "audit", "doctor", "metrics"]

    for screen in screens:
        for form in ([], ["--json"], ["--color", "always"]):
            status, reported = _run([*screen.split(), *form], width, encoding)

            assert status != CRASHED, (screen, reported)
            assert not RAW.search(_without_colours(reported)), (screen, form, reported)
