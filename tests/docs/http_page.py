"""Makes the page of the HTTP interface from the routes and acts of the dashboard.

Run as a program it writes docs/reference/http.md.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.web import acts, routes

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = Path(__file__).parents[2] / "docs/reference/http.md"
_HEAD = """# HTTP interface of the dashboard

Made from the program by `tests/docs/http_page.py`. All paths are below `/api/v1`, which is
below `web.path` or the place where the dashboard is mounted. Answers are JSON; an error is
`{{"error": …}}` with the status 4xx or 5xx. Programs send `Authorization: Bearer TOKEN`;
[who may do what](../guide/dashboard.md#who-has-access).

## Reading

GET, with the role viewer. The fields are those of the command's `--json`:
[for programs](../guide/dashboard.md#for-programs).

| path | reads |
|---|---|
{pages}

## Acts

POST, with the fields of a form as the body. Each leaves a row in the audit.

| path | role | does |
|---|---|---|
{acts}
"""


def page() -> str:
    """Return the text of the page."""
    routes.find("GET", "/")
    acts.find("/")
    pages = sorted((_path(each.pattern), _says(each.read)) for each in routes.ROUTES)
    done = sorted((_path(each.pattern), each.role, _says(each.perform)) for each in acts.ACTS)
    return _HEAD.format(pages=_rows(pages), acts=_rows(done))


def _path(pattern: re.Pattern[str]) -> str:
    named = re.sub(r"\(\?P<(\w+)>\.\+\)", lambda found: found[1].upper(), pattern.pattern)
    return f"`{named}`"


def _says(function: object) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
