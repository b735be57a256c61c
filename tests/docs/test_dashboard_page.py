"""The page of the dashboard: its configuration is accepted, its application is one."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dashboard.asking import Browser
from docs.pages import blocks, guide
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load
from jobsd.operations.search import read_search

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from jobsd.database.connection import Target

PAGE = guide("dashboard")


def test_the_users_of_the_page_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "config/queue.yml"
    file.parent.mkdir()
    file.write_text(blocks(PAGE, "yaml")[0], encoding="utf-8")

    web = load(tmp_path, {"ANNS_PASSWORD": "secret"}, Flags()).web

    assert [(user.name, user.role) for user in web.users] == [
        ("ann", "admin"),
        ("deploy", "operator"),
        ("wall", "viewer"),
    ]
    assert web.users[0].password == "secret"


def test_each_search_of_the_page_is_understood() -> None:
    shown = re.findall(r"^\| `([a-z]+[.:][^|]*)` \|", PAGE, re.MULTILINE)
    searches = [part for each in shown for part in each.split("`, `")]

    assert len(searches) == 15
    assert {text: read_search(text).problems for text in searches} == dict.fromkeys(
        searches, ()
    )


def test_the_application_of_the_page_lets_in_only_the_named_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: Target
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", target.url)
    made = blocks(PAGE, "py")[0].partition("\n\n")[2].partition("application.wsgi_app")[0]
    names: dict[str, Any] = {"application": SimpleNamespace()}
    exec(f"from jobsd.web import create_app\n{made}", names)  # noqa: S102 - the page's own

    def asked(user: str) -> int:
        def named(environ: dict[str, Any], start_response: Any) -> Any:
            return names["dashboard"]({**environ, "REMOTE_USER": user}, start_response)

        return Browser(named, host="any.example").get("/").status

    try:
        assert (asked("ann"), asked("bob")) == (200, 403)
    finally:
        names["dashboard"].close()
