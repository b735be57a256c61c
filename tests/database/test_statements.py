"""Every statement is one that the migrated tables understand."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobsd.acts import listing
from jobsd.database.statements import Statement, Statements
from jobsd.states import claims, ready, series

if TYPE_CHECKING:
    from jobsd.database.connection import Session

_BEGINNINGS = (
    None,
    *(claims.record_statement(keep=keep) for keep in (True, False)),
)
_FRAGMENTS = {
    *("nothing", "record", "no_claim", "pick_any", "pick_each", "pick_named", "pick_parked"),
    *("take", "hold", "set_aside", "meet_any", "meet_named"),
    *("take_first", "take_first_named", "hold_few"),
    "jobs",
    *("keys", "finish", "erase"),
    *("count_keys", "block"),
}
_PARTS = {"places", "lost", "search", "rows", "ids"}
_UNPREPARED = re.compile(r"^(?:COPY|BEGIN|COMMIT)\b", re.MULTILINE)


def _files() -> list[tuple[str, str]]:
    source = Path(str(files("jobsd")))
    return [
        (".".join(("jobsd", room.name, *_below(path, room))), path.name)
        for room in sorted(source.iterdir())
        if room.is_dir()
        for path in sorted(room.resolve().rglob("*.sql"))
        if "migrations" not in path.parts
    ]


def _below(path: Path, room: Path) -> tuple[str, ...]:
    return path.parent.relative_to(room.resolve()).parts


def _statements() -> list[Statement]:
    found: list[Statement] = []
    for package, name in _files():
        # What begins and ends a transaction can't be prepared, nor can COPY.
        found += [
            statement
            for statement in Statements(package, name)
            if statement.name not in _FRAGMENTS | _PARTS
            and not _UNPREPARED.search(statement.text)
        ]
    found += [series.KEYS_ANY, series.KEYS_NAMED, series.BLOCK_ANY, series.BLOCK_NAMED]
    for beginning in _BEGINNINGS:
        found += [
            ready.turn(beginning, end)
            for end in (
                claims.STATEMENTS["no_claim"],
                ready.CLAIM_ANY,
                ready.CLAIM_EACH,
                ready.CLAIM_NAMED,
                ready.CLAIM_PARKED,
            )
        ]
    found += ready.OF_FEW
    found += ready.SET_ASIDE.values()
    pages = [
        listing.page_query(state, end)
        for state in (None, "ready", "lost")
        for end in ("rows", "ids")
    ]
    return [*found, *pages]


@pytest.mark.parametrize("statement", _statements(), ids=lambda s: s.name)
def test_a_statement_can_be_prepared(statement: Statement, session: Session) -> None:
    text = statement.render("jobsd").decode()
    named = re.sub(r"%\((\w+)\)s", _Numbers(), text).replace("%%", "%")

    session.connection.execute(f"PREPARE checked AS {named}".encode())
    session.connection.execute("DEALLOCATE checked")


class _Numbers:
    """Turns the names of parameters into numbers, the same name into the same number."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, match: re.Match[str]) -> str:
        if match[1] not in self.seen:
            self.seen.append(match[1])
        return f"${self.seen.index(match[1]) + 1}"


def test_a_schema_is_put_in_the_place_of_ours() -> None:
    statement = Statement("x", "SELECT FROM jobsd.jobs, jobsd.claims WHERE 'jobsd' <> ''")

    assert (
        statement.render('a"b')
        == b'SELECT FROM "a""b".jobs, "a""b".claims WHERE \'jobsd\' <> \'\''
    )


def test_parameters_are_numbered_as_the_server_counts_them() -> None:
    statement = Statement("odd", "SELECT %(b)s, %(a)s, %(b)s, '10 %%' FROM jobsd.jobs")

    text, names = statement.number("100%")

    assert text == b"""SELECT $1, $2, $1, '10 %' FROM "100%".jobs"""
    assert names == ("b", "a")
