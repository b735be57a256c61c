"""Makes docs/reference/claim.sql of the statements that workers send.

    .venv/bin/python tests/docs/claim_page.py

Run it when a statement of a claim or of a record changes.
"""

from __future__ import annotations

import re
import textwrap
from functools import reduce
from pathlib import Path
from typing import NamedTuple

from jobsd.database.statements import Statement, Statements
from jobsd.states import claims, ready
from jobsd.states.claims import record_statement

PAGE = Path(__file__).parents[2] / "docs/reference/claim.sql"

HEAD = """\
-- Made by tests/docs/claim_page.py of the statements in src/jobsd/states.
--
-- The three statements that workers send most, as the server gets them. Paste this file into
-- psql, in a database with the tables of a queue: it runs each of them in a transaction that is
-- rolled back. A worker prepares them, and sends each in a transaction of its own.
--
-- A statement of a worker records jobs that have ended, or claims jobs, or does both with one
-- round trip and one commit.
"""

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_COMMENT = re.compile(r"^ *--[^\n]*\n", re.MULTILINE)
_FILES = {
    name: Statements("jobsd.states", name) for name in ("claims.sql", "ready.sql", "few.sql")
}
_VALUES = {
    # What is claimed.
    "process_id": "1",
    "claim_id": "5000000000000000",
    "limit": "4",
    "asked_at": "0",
    "foreign": "{}",
    "share": "500000",
    "budget": "2000000",
    "after_priorities": "{-2147483648}",
    "after_positions": "{0}",
    "below_priorities": "{2147483648}",
    "below_positions": "{0}",
    # What is recorded: that job 1, the only one of claim 1, ran for a millisecond.
    "lock_wait": "500ms",
    "claim_ids": "{1}",
    "job_ids": "{1}",
    "started_us": "{1500}",
    "ended_us": "{500}",
    "batch_ids": "{1}",
    "held": "{1}",
    "remaining": "{0}",
}


class Shown(NamedTuple):
    """A statement that workers send: when, its parts by file, and the whole."""

    when: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    statement: Statement

    @property
    def text(self) -> str:
        """The statement with the comments of its parts, which workers don't send."""
        found = [_FILES[file][name].text for file, names in self.parts for name in names]
        return reduce(_joined, found) + ";\n"


def _joined(text: str, part: str) -> str:
    """Return the text with the next table expressions, or with the query that uses them."""
    comma = "" if _COMMENT.sub("", part).startswith("SELECT") else ","
    return f"{text}{comma}\n\n{part}"


_RECORD = ("record", "finish")
SHOWN = (
    Shown(
        "Claim the first jobs of all queues. A worker that rests sends this once it hears of a "
        "job.",
        (("few.sql", ("take_first", "hold_few")),),
        ready.CLAIM_FIRST_ANY,
    ),
    Shown(
        "Record jobs that have ended. A worker that has nothing more to do sends this.",
        (("claims.sql", (*_RECORD, "no_claim")),),
        record_statement(keep=True).with_(claims.STATEMENTS["no_claim"]),
    ),
    Shown(
        "Record jobs that have ended, and claim the next ones. A worker with a backlog sends "
        "this.",
        (("claims.sql", _RECORD), ("ready.sql", ("pick_any", "take", "hold", "jobs"))),
        ready.turn(record_statement(keep=True), ready.CLAIM_ANY),
    ),
)


def bare(text: str) -> str:
    """Return a statement without comments, empty lines and the semicolon at its end."""
    lines = _COMMENT.sub("", f"{text}\n").removesuffix(";\n\n").splitlines()
    return "\n".join(line for line in lines if line)


def page() -> str:
    """Return the page: values for the parameters, and each statement."""
    values = "".join(f"\\set {name} '{value}'\n" for name, value in _VALUES.items())
    return f"{HEAD}\n{values}" + "".join(map(_section, enumerate(SHOWN, 1)))


def _section(numbered: tuple[int, Shown]) -> str:
    number, shown = numbered
    title = textwrap.fill(
        f"{number}. {shown.when}", 100, initial_indent="-- ", subsequent_indent="-- "
    )
    text = _PLACEHOLDER.sub(lambda name: f":'{name[1]}'", shown.text)
    return f"\n\n{title}\n\nBEGIN;\n\n{text}\nROLLBACK;\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
