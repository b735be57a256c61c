"""The tree inside real web servers: one of it, for as long as they run."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from conftest import database_on
from django_app.project import DjangoProject, database
from harness.tree import lives
from waiting import wait_until
from web_servers.servers import COMMANDS, inside, stop

if TYPE_CHECKING:
    from harness.project import Project

pytestmark = pytest.mark.system

_GONE_S = 1.0
WARNED = "JOBSD_IN_WEB=1 starts no daemon here"
URLS = """
import os
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse(str(os.getpid())))]
"""
ASGI = "from django.core.asgi import get_asgi_application\napp = get_asgi_application()\n"


@pytest.mark.behaviour(90)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_server_has_one_tree_and_drains_it_at_its_end(name: str, project: Project) -> None:
    with inside(name, project) as server:
        server.get()
        supervisor = server.one_tree()
        assert not server.listeners() & server.pids_of_trees()

        stop(server)

        wait_until(lambda: not lives(supervisor), 20, server.reported)
        assert [each["exit_status"] for each in server.events("supervisor.stopped")] == [0]
        wait_until(lambda: server.keepers() == [], 10)


@pytest.mark.behaviour(89)
@pytest.mark.failure(
    "a web server with the tree inside is killed",
    "the tree is gone within a second",
)
@pytest.mark.parametrize("name", ["gunicorn", "uvicorn with 4 workers"])
def test_a_tree_is_gone_with_a_server_that_is_killed(name: str, project: Project) -> None:
    with inside(name, project) as server:
        server.get()
        supervisor = server.one_tree()

        server.process.kill()

        wait_until(lambda: not lives(supervisor), _GONE_S, server.reported)
        wait_until(lambda: server.keepers() == [], 10)


@pytest.mark.failure(
    "a tree that a web server starts has no database",
    "the tree ends with 78 and says what to set; no database is made, the server runs",
)
def test_a_tree_in_a_web_server_makes_no_database(project: Project) -> None:
    project.environ |= {
        "DATABASE_URL": "",
        "JOBSD_EMBEDDED_DIR": str(project.root / "postgres"),
    }
    with inside("gunicorn", project) as server:
        server.get()

        wait_until(lambda: "none was made here" in server.reported(), 30, server.reported)
        assert server.get()
        assert stop(server) == 0
    assert not (project.root / "postgres").exists()


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn"])
def test_a_tree_has_the_database_that_the_application_configures(
    name: str, project: Project
) -> None:
    url = project.environ.pop("DATABASE_URL")
    for file in ("wsgi_app.py", "asgi_app.py"):
        written = (project.root / file).read_text(encoding="utf-8")
        configured = f"import jobsd\njobsd.configure({url!r}, schema='of_the_shop')\n"
        project.write(file, configured + written)
    project.environ["JOBSD_ENV"] = "production"
    with inside(name, project) as server:
        server.get()

        server.wait_event("supervisor.ready")
        server.one_tree()
    with psycopg.connect(url) as connection:
        made = connection.execute("SELECT to_regclass('of_the_shop.jobs') IS NULL").fetchone()
    assert made == (False,)


def test_a_tree_on_another_database_than_its_application_is_refused(
    project: Project, server_url: str
) -> None:
    written = (project.root / "wsgi_app.py").read_text(encoding="utf-8")
    with database_on(server_url) as url:
        project.write("wsgi_app.py", f"import jobsd\njobsd.configure({url!r})\n{written}")
        with inside("gunicorn", project) as server:
            server.get()

            wait_until(lambda: "these are two" in server.reported(), 30, server.reported)
            assert server.get()


def test_a_tree_has_database_and_jobs_of_a_django_project(project: Project) -> None:
    made = DjangoProject(project.root)
    made.configure({"default": database(project.environ.pop("DATABASE_URL"))})
    made.write("config/queue.yml", "{}\n")
    setup = "import django\ndjango.setup()\n"
    made.write("wsgi_app.py", setup + (project.root / "wsgi_app.py").read_text("utf-8"))
    made.write("shop/jobs.py", "from jobsd import job\n@job\ndef said(): print('one')\n")
    project.environ |= {"JOBSD_ENV": "production", "DJANGO_SETTINGS_MODULE": "settings"}
    with inside("gunicorn", project) as server:
        server.get()
        server.wait_event("supervisor.ready")

        made.shell("from shop.jobs import said\nsaid.enqueue()")

        server.wait_event("one", class_name="shop.jobs.said")


@pytest.mark.failure(
    "JOBSD_IN_WEB is set for a web server that runs neither our hooks nor our lifespan",
    "the first request to a Django or Flask application logs that no daemon is started",
)
def test_an_application_without_a_lifespan_says_that_it_has_no_tree(project: Project) -> None:
    made = DjangoProject(project.root)
    made.configure({"default": database(project.environ["DATABASE_URL"])})
    made.write("urls.py", URLS)
    with (project.root / "settings.py").open("a") as file:
        file.write('ROOT_URLCONF = "urls"\nALLOWED_HOSTS = ["*"]\n')
    made.write("asgi_app.py", ASGI)
    project.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    with inside("uvicorn", project) as server:
        server.get()
        server.get()

        wait_until(lambda: WARNED in server.reported(), 10, server.reported)
        assert server.reported().count(WARNED) == 1
        assert server.keepers() == []


@pytest.mark.parametrize("given", [{}, {"DATABASE_URL": ""}], ids=["unset", "empty"])
def test_a_tree_has_the_database_of_a_flask_application(
    given: dict[str, str], project: Project
) -> None:
    url = project.environ.pop("DATABASE_URL")
    project.write(
        "wsgi_app.py",
        "import os\nfrom flask import Flask\nfrom jobsd.flask import Jobs\n"
        "def create_app():\n"
        "    app = Flask('shop')\n"
        f"    app.config['JOBSD_DATABASE_URL'] = {url!r}\n"
        "    Jobs(app)\n"
        "    app.get('/')(lambda: str(os.getpid()))\n"
        "    return app\n"
        "app = create_app()\n",
    )
    project.environ |= {"JOBSD_ENV": "production", **given}
    with inside("gunicorn", project) as server:
        server.get()

        server.wait_event("supervisor.ready")
        server.one_tree()
        assert WARNED not in server.reported()


@pytest.mark.failure(
    "the tree inside a web server crashes, a worker of the server is replaced, or the tree's"
    " keeper is killed",
    "there is one tree again",
)
def test_whatever_is_killed_there_is_one_tree_again(project: Project) -> None:
    with inside("gunicorn", project) as server:
        worker = int(server.get())
        first = server.one_tree()

        _kill(psutil.Process(worker))
        assert server.get() != str(worker)
        assert server.one_tree().pid == first.pid

        _kill(first)
        second = server.one_tree()
        assert server.process.poll() is None

        _kill(*server.keepers())
        wait_until(lambda: not lives(second), 10, server.reported)
        server.one_tree()
        assert stop(server) == 0
        wait_until(lambda: server.supervisors() == [], 20)


def test_a_reload_of_the_server_reloads_the_tree(project: Project) -> None:
    with inside("gunicorn", project) as server:
        server.get()
        server.one_tree()

        server.process.send_signal(signal.SIGHUP)

        server.wait_event("supervisor.reloaded", within_s=60)
        server.one_tree()


def test_a_server_that_restarts_its_workers_reloads_a_tree_of_older_files(
    project: Project,
) -> None:
    with inside("uvicorn with 4 workers", project) as server:
        server.get()
        server.one_tree()

        project.write("web_jobs.py", "from jobsd import job\n@job\ndef other(): pass\n")
        server.process.send_signal(signal.SIGHUP)

        server.wait_event("supervisor.reloaded", within_s=60)
        server.one_tree()
        stop(server)
        # Four workers have begun then, and one of them found what was changed.
        assert len(server.events("supervisor.reloaded")) == 1


def test_another_server_takes_the_tree_over(project: Project) -> None:
    with inside("uvicorn", project) as old:
        old.get()
        first = old.one_tree()
        with inside("gunicorn", project) as new:
            new.get()
            assert [each.pid for each in new.supervisors()] == [first.pid]

            stop(old)

            wait_until(lambda: new.supervisors() not in ([], [first]), 20, new.reported)
            new.one_tree()


def test_a_server_has_no_tree_without_the_variable(project: Project) -> None:
    with inside("uvicorn", project, variable="0") as server:
        server.get()

        assert server.keepers() == server.supervisors() == []


def _kill(*processes: psutil.Process) -> None:
    for process in processes:
        process.kill()
    wait_until(lambda: not any(lives(each) for each in processes), 10)
