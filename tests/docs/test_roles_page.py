"""The two roles of docs/guide/database-roles.md can be made as it says."""

from __future__ import annotations

import secrets
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import conninfo

from docs.pages import blocks, guide, typed
from harness.project import Project
from harness.tree import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

PAGE = guide("database-roles")
OWNER_URL = "postgresql://jobsd_owner@db/app"


@pytest.fixture
def named(empty_database: str) -> Iterator[dict[str, str]]:
    """The names that the page uses, with those that stand for them here."""
    suffix = secrets.token_hex(4)
    owner, user = f"jobsd_owner_{suffix}", f"jobsd_{suffix}"
    lesser = [f"{name}_{suffix}" for name in ("web", "operator", "viewer")]
    database = str(conninfo.conninfo_to_dict(empty_database)["dbname"])
    yield {
        "ROLE jobsd_owner": f"ROLE {owner}",
        "TO jobsd_owner": f"TO {owner}",
        "ROLE jobsd ": f"ROLE {user} ",
        "DATABASE app": f'DATABASE "{database}"',
        # A superuser may become any role, so no password is needed.
        OWNER_URL: shlex.quote(
            conninfo.make_conninfo(empty_database, options=f"-c role={owner}")
        ),
        "grants jobsd ": f"grants {user} ",
        **{
            before + name.partition("_")[0]: before + name
            for name in lesser
            for before in ("ROLE ", "only ", "operate ")
        },
        "user": user,
    }
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for role in (owner, user, *lesser):
            connection.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


def _here(text: str, named: dict[str, str]) -> str:
    for shown, name in named.items():
        if shown != "user":
            text = text.replace(shown, name)
    return text


def test_the_roles_of_the_page_are_enough_to_enqueue(
    named: dict[str, str], empty_database: str, tmp_path: Path
) -> None:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    as_user = conninfo.make_conninfo(empty_database, options=f"-c role={named['user']}")
    project = Project(tmp_path, as_user)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for made in blocks(PAGE, "sql"):
            connection.execute(_here(made, named).encode())

    for command in typed(PAGE):
        program = command.replace("jobsd db", f"{shlex.join(COMMAND)} db")
        subprocess.run(
            ["/bin/sh", "-ec", _here(program, named)],
            cwd=tmp_path,
            env=project.environ,
            check=True,
            timeout=60,
        )

    assert project.run("enqueue", "HeartbeatJob").returncode == 0
    assert project.run("db", "migrate").returncode == 0, "there is nothing to migrate"
    web = conninfo.make_conninfo(empty_database, options=f"-c role={named['ROLE web'][5:]}")
    assert Project(tmp_path, web).run("enqueue", "HeartbeatJob").returncode == 0
    assert Project(tmp_path, web).run("list").returncode == 1
    with psycopg.connect(as_user) as connection, pytest.raises(psycopg.errors.Error):
        connection.execute("DROP TABLE jobsd.jobs")
