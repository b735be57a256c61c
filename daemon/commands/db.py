"""`db`: the tables, and the embedded server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.verbs import Noun, Verb, as_json, on_project

if TYPE_CHECKING:
    from jobsd.daemon.project import Project

_EXAMPLES = """
db status
db migrate
db sql > jobsd.sql
db grants jobsd > grants.sql
db psql -c 'SELECT * FROM jobsd.heartbeat_logs ORDER BY executed_at DESC LIMIT 10'
db stop
"""


@click.group(cls=Noun, examples=_EXAMPLES, default="status")
def command() -> None:
    """Look after the database: its tables, its URL, the embedded server."""


@command.command(cls=Verb, examples="db migrate\ndb migrate --database-url postgresql://…")
@as_json
@on_project
def migrate(project: Project, *, as_json: bool) -> None:
    """Bring the tables to this version; prints the steps that were applied."""
    from jobsd.daemon.output import print_json, print_line
    from jobsd.daemon.program import note
    from jobsd.database.migrate import latest_version
    from jobsd.database.migrate import migrate as apply

    steps = project.database.prepare(note)
    with project.session(any_schema=True, makes=True) as session:
        steps += apply(session.target, note)
    if as_json:
        print_json({"version": latest_version(), "applied": steps})
        return
    for step in steps:
        print_line(step)
    if not steps:
        note(f"the tables are at version {latest_version()} already")


@command.command(cls=Verb, examples="db status\ndb status --json")
@as_json
@on_project
def status(project: Project, *, as_json: bool) -> int:
    """Say where the database is and how its tables stand; exit 1 when they are behind."""
    from jobsd.daemon.exits import DONE, FAILED
    from jobsd.daemon.output import print_facts
    from jobsd.database.connection import redact
    from jobsd.database.migrate import latest_version, version

    with project.session(any_schema=True) as session:
        found = version(session)
        server = session.connection.info.parameter_status("server_version")
    facts = {
        "database": redact(session.target.url),
        "embedded": project.database.server is not None,
        "server_version": server,
        "schema": session.target.schema,
        "version": found,
        "needed_version": latest_version(),
        "current": found >= latest_version(),
    }
    print_facts(facts, as_json=as_json)
    return DONE if facts["current"] else FAILED


@command.command(cls=Verb, examples="db sql | psql postgresql://owner@host/app")
@as_json
@on_project
def sql(project: Project, *, as_json: bool) -> None:
    """Print all DDL, for those who apply it by hand; needs no database."""
    from jobsd.daemon.output import print_document
    from jobsd.database.migrate import ddl

    print_document("sql", ddl(project.options.database.schema), as_json=as_json)


@command.command(cls=Verb, examples="db grants jobsd | psql postgresql://owner@host/app")
@click.argument("role")
@as_json
@on_project
def grants(project: Project, role: str, *, as_json: bool) -> None:
    """Print what lets a role run the daemon and enqueue, but not change the tables."""
    from jobsd.daemon.output import print_document
    from jobsd.database.grants import grants as statements

    print_document("sql", statements(project.options.database.schema, role), as_json=as_json)


@command.command(cls=Verb, examples="db url\ndb url --json")
@as_json
@on_project
def url(project: Project, *, as_json: bool) -> None:
    """Print the URL that the other commands use, password and all; starts it if embedded."""
    from jobsd.daemon.output import print_json, print_line

    target = project.target()
    if as_json:
        embedded = project.database.server is not None
        print_json({"url": target.url, "schema": target.schema, "embedded": embedded})
    else:
        print_line(target.url)


@command.command(
    cls=Verb,
    examples="db psql\ndb psql -c 'SELECT count(*) FROM jobsd.jobs'",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]…")
@click.option("--database-url", metavar="URL", help="Env: QUEUE_DATABASE_URL, …")
def psql(database_url: str | None, arguments: tuple[str, ...]) -> None:
    """Become psql, connected; it is the one that comes with the embedded server.

    All other options are its own.
    """
    # Without the option -c of the other commands, which is one of psql's.
    from jobsd.configuration.flags import Flags
    from jobsd.daemon.project import Project
    from jobsd.daemon.psql import become_psql

    become_psql(Project(Flags(database_url=database_url)), arguments)


@command.command(cls=Verb, examples="db stop")
@as_json
@on_project
def stop(project: Project, *, as_json: bool) -> None:
    """Stop the embedded server of this project, whoever uses it."""
    from jobsd.daemon.output import tell

    stopped = project.embedded.stop()
    told = "the embedded PostgreSQL has stopped" if stopped else "no embedded PostgreSQL runs"
    tell(told, {"stopped": stopped}, as_json=as_json)
