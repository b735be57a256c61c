"""Each line of an operations guide for Solid Queue has what answers it here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from conftest import drop_database, make_database
from docs.operations import Guide, running_guide
from docs.operations_rows import ROWS, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def guide(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guide]:
    """The guide's project; another host has beaten less than an hour ago."""
    url, name = make_database(server_url)
    try:
        with running_guide(tmp_path_factory.mktemp("guide"), url) as found:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "INSERT INTO jobsd.heartbeat_logs (executed_at, environment, hostname)"
                    " VALUES (now() - interval '50 minutes', 'production', 'web-1')"
                )
            found.ask(dict.fromkeys(each for row in ROWS for each in row.snippets))
            yield found
    finally:
        drop_database(server_url, name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"line {row.line}")
def test_a_line_of_the_guide_has_what_answers_it(row: Row, guide: Guide) -> None:
    assert row.holds(guide), f"line {row.line}: {row.there}"
