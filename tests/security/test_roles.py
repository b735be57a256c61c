"""Two roles: one owns and migrates the tables, the other only uses them."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import conninfo, errors, sql

from harness.project import Project
from jobsd.database.connection import Session, Target
from jobsd.database.grants import grants
from jobsd.database.migrate import migrate
from jobsd.database.steps import latest_version
from jobsd.enqueueing.enqueue import enqueue_alone
from jobsd.errors import EnqueueError
from jobsd.jobs.draft import Draft
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOBS = """
from jobsd import job, Limit

@job
def quick(n): ...

@job(max_attempts=2, backoff=lambda attempt: 0.01)
def failing(n):
    raise ValueError(n)

@job(limits_concurrency=Limit(to=1))
def limited(n): ...
"""

QUEUE = """
import: [role_jobs]
jobs: {clear_finished_jobs_after: 1d}
dispatchers: [{polling_interval: 0.1, concurrency_maintenance_interval: 1}]
workers: [{processes: 2}]
"""

RECURRING = """
heartbeat: {class: HeartbeatJob, schedule: every second, run_at_start: true}
"""

COMMANDS = """
status
ps
doctor
list
queues pause mail
queues resume mail
queues clear mail --yes
clear-finished
recurring list
metrics
db status
db migrate
heartbeat recent
"""


@dataclass
class Roles:
    """The URLs by which owner and user of one database connect."""

    owner: str
    user: str
    user_name: str
    superuser: str

    def as_owner(self, query: str) -> None:
        with psycopg.connect(self.owner, autocommit=True) as connection:
            connection.execute(query.encode())


@pytest.fixture
def roles(empty_database: str) -> Iterator[Roles]:
    """A database whose owner may make schemas, and another who may not."""
    names = [f"jobsd_{kind}_{secrets.token_hex(4)}" for kind in ("owner", "user")]
    owner, user = map(sql.Identifier, names)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for role in (owner, user):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(name, owner))
    # Whoever may become a role needs no way to be let in as that role.
    urls = [conninfo.make_conninfo(empty_database, options=f"-c role={name}") for name in names]
    yield Roles(urls[0], urls[1], names[1], empty_database)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for role in (owner, user):
            connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture
def granted(roles: Roles) -> Roles:
    """The same, with the tables, and what is printed by `db grants` done."""
    migrate(Target(roles.owner))
    roles.as_owner(grants("jobsd", roles.user_name))
    return roles


@pytest.fixture
def project(roles: Roles, tmp_path: Path) -> Project:
    made = Project(tmp_path, roles.user)
    made.write("role_jobs.py", JOBS)
    made.write("config/queue.yml", QUEUE)
    made.write("config/recurring.yml", RECURRING)
    return made


def test_the_daemon_does_all_its_work_without_ddl(granted: Roles, project: Project) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        for words in (
            ("role_jobs.quick", "[1]"),
            ("role_jobs.quick", "[2]", "--in", "0.1s"),
            ("role_jobs.failing", "[3]"),
            ("role_jobs.limited", "[4]"),
            ("role_jobs.limited", "[5]"),
        ):
            assert project.run("enqueue", *words).returncode == 0
        granted_sql = "SELECT jobsd.enqueue('role_jobs.limited', '[6]', concurrency_key => 'k')"
        with psycopg.connect(granted.user, autocommit=True) as connection:
            connection.execute(granted_sql.encode())
        wait_until(lambda: _states(granted) == {"finished": 5, "failed": 1}, what=tree.reported)
        tree.wait_event("job.failed")
        tree.children("worker")[0].kill()
        tree.wait_event("process.replaced")
        tree.terminate()

    assert [e for e in tree.events() if "permission denied" in str(e)] == []


def test_the_commands_need_no_ddl(granted: Roles, project: Project) -> None:
    assert granted.user_name

    done = [project.run(*line.split()) for line in COMMANDS.strip().splitlines()]

    # 1 and 3: `doctor` has found something, and nothing runs.
    assert {each.returncode for each in done} <= {0, 1, 3}
    assert [each.stderr for each in done if "permission" in each.stdout + each.stderr] == []


def test_a_role_without_rights_is_shown_the_grants(roles: Roles, project: Project) -> None:
    migrate(Target(roles.owner))
    hint = "`db grants ROLE` prints what the owner of the tables has to run"

    nothing = [project.run(*words.split()) for words in ("status", "start", "list")]
    roles.as_owner(f"GRANT USAGE ON SCHEMA jobsd TO {roles.user_name}")
    roles.as_owner(f"GRANT SELECT ON jobsd.schema_migrations TO {roles.user_name}")
    little = [project.run(*words.split()) for words in ("list", "enqueue role_jobs.quick [1]")]

    assert [each.returncode for each in nothing] == [78, 78, 78]
    assert [each.returncode for each in little] == [1, 1]
    for each in (*nothing, *little):
        assert "permission denied" in each.stderr
        assert hint in each.stderr
        assert "db migrate" not in each.stderr


@pytest.mark.failure(
    "The role of a running daemon loses its right to a table.",
    "It is an outage, reported once with the remedy; processes that need the table wait until"
    " the right is granted",
)
def test_a_right_that_is_lost_is_waited_for_and_reported_once(
    granted: Roles, project: Project
) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        granted.as_owner(f"REVOKE INSERT ON jobsd.claims FROM {granted.user_name}")
        project.run("enqueue", "role_jobs.quick", "[1]")
        lost = tree.wait_event("database.unavailable")
        granted.as_owner(grants("jobsd", granted.user_name))
        tree.wait_event("database.available")
        wait_until(lambda: _states(granted)["finished"] >= 1, what=tree.reported)
        tree.terminate()

    assert lost["error"]["message"] == (
        "permission denied for table claims;"
        " `db grants ROLE` prints what the owner of the tables has to run"
    )
    assert (
        len(tree.events("database.unavailable")) == len(tree.events("database.available")) == 1
    )
    assert tree.events("process.crashed") == []


def test_a_program_that_may_not_enqueue_is_shown_the_grants(roles: Roles) -> None:
    migrate(Target(roles.owner))
    draft = Draft("anything", "default", 0, "[]")

    with (
        contextlib.closing(Session(Target(roles.user), "jobsd test")) as session,
        pytest.raises(EnqueueError, match=r"permission denied .*; `db grants ROLE` prints"),
    ):
        enqueue_alone(session, draft)


def test_only_the_owner_brings_the_tables_up_to_date(granted: Roles, project: Project) -> None:
    granted.as_owner(f"DELETE FROM jobsd.schema_migrations WHERE version = {latest_version()}")

    done = project.run("db", "migrate")

    assert done.returncode == 78
    assert "db migrate` with a role that may create them" in done.stderr
    assert len(done.stderr.splitlines()) <= 3


def test_a_start_without_the_tables_points_to_db_migrate(
    roles: Roles, project: Project
) -> None:
    assert roles.user_name

    done = project.run("start")

    assert done.returncode == 78
    assert "db migrate" in done.stderr


@pytest.mark.failure(
    "A person who has the password of the role that runs jobs tries to change the tables.",
    "The database refuses it: that role has no DDL.",
)
@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE jobsd.mine (id int)",
        "DROP TABLE jobsd.jobs",
        "ALTER TABLE jobsd.jobs ADD COLUMN mine int",
        "TRUNCATE jobsd.jobs",
        "CREATE FUNCTION jobsd.mine() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE TRIGGER mine BEFORE INSERT ON jobsd.jobs EXECUTE FUNCTION jobsd.mine()",
        "DELETE FROM jobsd.schema_migrations",
    ],
)
def test_a_role_that_uses_the_tables_can_not_change_them(granted: Roles, query: str) -> None:
    with (
        psycopg.connect(granted.user, autocommit=True) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute(query.encode())


def test_tables_of_a_later_version_may_be_used_at_once(granted: Roles) -> None:
    granted.as_owner(
        "CREATE TABLE jobsd.later (id bigint GENERATED BY DEFAULT AS IDENTITY, n int)"
    )

    with psycopg.connect(granted.user, autocommit=True) as connection:
        connection.execute("INSERT INTO jobsd.later (n) VALUES (1)")
        assert connection.execute("SELECT id, n FROM jobsd.later").fetchall() == [(1, 1)]


def test_bench_that_may_not_create_a_schema_reports_only_the_missing_right(
    granted: Roles, project: Project
) -> None:
    assert granted.user_name

    done = project.run("bench", "--jobs", "10")

    assert done.returncode == 78
    assert done.stderr == (
        "error: bench creates a schema, and this role may not; use a URL whose role may\n"
    )


def test_the_command_prints_the_grants_of_any_schema_and_role(project: Project) -> None:
    project.write("config/queue.yml", "database: {schema: mine}\n")

    done = project.run("db", "grants", 'my "role"; --')

    assert done.stdout == grants("mine", 'my "role"; --') + "\n"
    assert 'GRANT USAGE ON SCHEMA "mine" TO "my ""role""; --";' in done.stdout


def _states(roles: Roles) -> dict[str, int]:
    """Return how many of our jobs are in which state."""
    query = (
        "SELECT count(*) FILTER (WHERE finished_at IS NOT NULL), (SELECT count(*) FROM"
        " jobsd.failed_executions) FROM jobsd.jobs WHERE class_name LIKE 'role_jobs%'"
    )
    with contextlib.closing(Session(Target(roles.superuser), "jobsd test")) as session:
        finished, failed = session.connection.execute(query.encode()).fetchone() or (0, 0)
    return {"finished": finished, "failed": failed}
