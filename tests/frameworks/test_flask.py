"""Flask: the program of its page, and what `Jobs` does in applications."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from flask import Flask, current_app, g
from psycopg import conninfo
from sqlalchemy.engine import make_url

from docs.pages import blocks, guide
from harness.tree import ENDS_WITH_US
from jobsd import around_job, handed_on, job
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from jobsd.flask import Jobs, queue

if TYPE_CHECKING:
    from pathlib import Path

PAGE = guide("flask")


def _run(folder: Path, url: str, *command: str) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME")}
    done = subprocess.run(
        [*ENDS_WITH_US, sys.executable, *command],
        cwd=folder,
        env={**kept, "APP_DATABASE_URL": url, "JOBSD_METRICS_BIND": "off"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.system
def test_the_program_of_the_page_performs_its_job_in_the_application(
    tmp_path: Path, empty_database: str
) -> None:
    (program,) = blocks(PAGE, "python")
    (tmp_path / "shop.py").write_text(program, encoding="utf-8")
    url = empty_database
    with psycopg.connect(url) as connection:
        info = connection.info
        where = f"{info.user}:{info.password}@/{info.dbname}?host={info.host}&port={info.port}"
    written = f"postgresql+psycopg2://{where}"
    flask = ("-m", "flask", "--app", "shop")
    asked = "app = create_app()\nprint(app.test_client().post('/users/ann').json)\n"

    migrate(Target(url))
    made = "with create_app().app_context(): db.create_all()\n"
    printed = _run(tmp_path, written, "-c", f"from shop import *\n{made}{asked}")
    said = _run(tmp_path, written, *flask, "jobs", "start", "--until-empty")

    assert printed == "{'user': 1}\n"
    assert "welcome, ann" in said
    assert "job.failed" not in said


def test_commands_have_the_schema_that_the_application_configures(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import jobsd\nfrom flask import Flask\nfrom jobsd.flask import Jobs\n"
        "jobsd.configure('postgresql:///shop', schema='of_the_shop')\n"
        "Jobs(app := Flask('shop'))\n"
    )

    found = _run(tmp_path, "", "-m", "flask", "--app", "shop", "jobs", "db", "url", "--json")

    assert json.loads(found)["schema"] == "of_the_shop"


def test_init_knows_the_application_that_flask_has_loaded(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\nfrom jobsd import job\nfrom jobsd.flask import Jobs\n"
        "@job\ndef welcome(): pass\n"
        "def build(name):\n    app = Flask(name)\n    Jobs(app)\n    return app\n"
    )

    said = _run(tmp_path, "", *("-m", "flask", "--app", "shop:build('a $b}')", "jobs", "init"))
    (tmp_path / "config/recurring.yml").write_text("w: {class: shop.welcome, every: 1h}\n")
    here = os.path.dirname(sys.executable)  # noqa: PTH120 - a link must stay one
    checked = subprocess.run(
        [tmp_path / "bin/jobs", "check"],
        cwd="/",
        env={**os.environ, "PATH": f"{here}:{os.environ['PATH']}", "VIRTUAL_ENV": sys.prefix},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout) == (0, "configuration is valid\n"), checked
    assert "hint" not in said


@pytest.mark.parametrize(
    ("variable", "warnings"), [("1", 1), ("0", 0), ("tree", 0)], ids=["set", "off", "in a tree"]
)
def test_a_request_that_no_tree_is_beside_is_warned_of_once(
    variable: str,
    warnings: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("JOBSD_IN_WEB", variable)
    monkeypatch.setattr("jobsd.in_web._warned", set[int]())
    app = Flask("shop")
    Jobs(app)

    for _ in range(2):
        app.test_client().get("/")

    found = [each for each in caplog.messages if "starts no daemon here" in each]
    assert len(found) == warnings


@job(name="flask.reported")
def _reported() -> tuple[str, bool]:
    return current_app.name, "asked" in g


@job(name="flask.reported_soon")
async def _reported_soon() -> str:
    return current_app.name


def test_a_job_runs_in_an_application_context_of_its_own() -> None:
    Jobs(Flask("first"))
    second = Flask("second")
    Jobs().init_app(second)

    assert _reported.perform_now() == ("second", False)
    assert str(_reported_soon.perform_now()) == "second"
    assert "jobs" in second.extensions


def test_a_job_that_a_view_performs_shares_its_context() -> None:
    app = Flask("shop")
    Jobs(app)

    with app.app_context():
        g.asked = True
        assert _reported.perform_now() == ("shop", True)


def test_a_job_leaves_the_context_of_another_application() -> None:
    Jobs(Flask("shop"))
    other = Flask("other")

    with other.app_context():
        g.asked = True
        performed = _reported.perform_now()
        after = current_app.name

    assert (performed, after) == (("shop", False), "other")


def test_the_end_of_a_job_tears_its_context_down_with_its_error() -> None:
    app = Flask("shop")
    Jobs(app)
    seen: list[BaseException | None] = []
    app.teardown_appcontext(seen.append)

    @job(name="flask.fails")
    def fails() -> None:
        raise KeyError

    with pytest.raises(KeyError) as raised:
        fails.perform_now()

    assert seen == [raised.value]


def test_applications_that_are_made_again_surround_a_job_once() -> None:
    entered: list[str] = []

    def leave(_error: BaseException | None) -> None:
        entered.append("once")

    jobs = Jobs()
    for _ in range(3):
        jobs.init_app(app := Flask("shop"))
        app.teardown_appcontext(leave)

    @around_job
    def within(job: object) -> Any:
        del job
        entered.append(current_app.name)
        yield

    _reported.perform_now()

    assert entered == ["shop", "once"]


@pytest.mark.parametrize(
    ("configured", "environ", "found"),
    [
        ({}, {"DATABASE_URL": "postgresql://e/e"}, "host=e dbname=e"),
        (
            {"SQLALCHEMY_DATABASE_URI": "postgresql+asyncpg://u:p@a/a"},
            {},
            "host=a dbname=a user=u password=p",
        ),
        (
            {"SQLALCHEMY_DATABASE_URI": "postgresql://a/a"},
            {"QUEUE_DATABASE_URL": "postgresql://e/e"},
            "host=e dbname=e",
        ),
        (
            {"SQLALCHEMY_DATABASE_URI": "postgresql://a/a"},
            {"DATABASE_URL": "postgresql://e/e"},
            "host=e dbname=e",
        ),
        (
            {
                "JOBSD_DATABASE_URL": "postgresql://q/q",
                "SQLALCHEMY_DATABASE_URI": "postgresql://a/a",
            },
            {"QUEUE_DATABASE_URL": "postgresql://e/e"},
            "host=q dbname=q",
        ),
        (
            {"SQLALCHEMY_DATABASE_URI": make_url("postgresql+psycopg://u:p@a/a")},
            {},
            "host=a dbname=a user=u password=p",
        ),
        (
            {"SQLALCHEMY_DATABASE_URI": "sqlite://"},
            {"DATABASE_URL": "postgresql://e/e"},
            "host=e dbname=e",
        ),
    ],
)
def test_the_queue_uses_the_database_configured_by_the_application(
    configured: dict[str, object],
    environ: dict[str, str],
    found: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    # A test before it in this process may have configured one.
    monkeypatch.setattr(handed_on, "configured", lambda: None)
    for name in ("DATABASE_URL", "QUEUE_DATABASE_URL", "JOBSD_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    app = Flask("shop")
    app.config.from_mapping(configured)

    url = queue.target(app).url

    assert conninfo.conninfo_to_dict(url) == conninfo.conninfo_to_dict(found)
