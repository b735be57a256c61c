"""FastAPI and Starlette: the program of the page, asked by a real client."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from docs.pages import blocks, guide
from harness.tree import COMMAND, ENDS_WITH_US

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.database.connection import Target

pytestmark = pytest.mark.system

PAGE = guide("fastapi")
ASK = """
import asyncio

import httpx
from shop import app, engine, sign_up


@app.post("/broken/{name}")
async def fails(name: str, session: sign_up.__annotations__["session"]):
    await sign_up(name, session)
    raise KeyError(name)


async def main():
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
    ):
        for path in ("/users/ann", "/broken/bob", "/welcome/1"):
            print((await client.post(path)).status_code)
    await engine.dispose()


asyncio.run(main())
"""


def test_the_program_of_the_page_enqueues_in_its_transactions(
    tmp_path: Path, target: Target
) -> None:
    (program,), (configuration,) = (blocks(PAGE, language) for language in ("python", "yaml"))
    (tmp_path / "shop.py").write_text(program, encoding="utf-8")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/queue.yml").write_text(configuration, encoding="utf-8")
    with psycopg.connect(target.url, autocommit=True) as connection:
        info = connection.info
        where = f"{info.user}:{info.password}@/{info.dbname}?host={info.host}&port={info.port}"
        connection.execute("DROP TABLE IF EXISTS users")
        connection.execute("CREATE TABLE users (id serial PRIMARY KEY, name text)")
    urls = {"APP_DATABASE_URL": f"postgresql://{where}", "QUEUE_DATABASE_URL": target.url}

    def run(*command: str) -> str:
        done = subprocess.run(
            [*ENDS_WITH_US, *command],
            env={**os.environ, **urls, "JOBSD_METRICS_BIND": "off"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    printed = run(sys.executable, "-W", "error", "-c", ASK)
    with psycopg.connect(target.url) as connection:
        stored = connection.execute("SELECT arguments::text FROM jobsd.jobs ORDER BY id")
        arguments = [row[0] for row in stored]
        users = [row[0] for row in connection.execute("SELECT name FROM users")]
    said = run(*COMMAND, "start", "--until-empty")

    assert printed.split() == ["200", "500", "200"]
    assert (arguments, users) == (["[1]", "[1]"], ["ann"])
    assert said.count("welcome, ann") == 2
