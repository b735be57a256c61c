"""`db`: the tables, and the embedded server."""

from collections.abc import Iterable

import click

from jobsd import database
from jobsd.daemon.cli.output import Result, Value, document, done, facts
from jobsd.daemon.cli.verbs import Noun, Project, Verb, on_project
from jobsd.daemon.program import note, program
from jobsd.daemon.statuses import DONE, FAILED

_EXAMPLES = """
db status
db migrate
db sql > jobsd.sql
db grants jobsd > grants.sql
db psql -c 'SELECT * FROM jobsd.heartbeat_logs LIMIT 10'
"""


@click.group(cls=Noun, examples=_EXAMPLES, default="status")
def command() -> None:
    """Manage the database: its tables, its URL, the embedded server."""


@command.command(cls=Verb, examples="db migrate\ndb migrate --dry-run")
@click.option("--dry-run", is_flag=True, help="Change nothing; print what is missing.")
@on_project
def migrate(project: Project, *, dry_run: bool) -> Result:
    """Bring the tables to this version; prints the steps that were applied."""
    if dry_run:
        with project.session(any_schema=True) as session:
            names = database.migrate.missing(session)
        facts = {"version": database.steps.latest_version(), "dry_run": True, "missing": names}
        sentence = "" if names else "nothing is missing"
        return Result(facts, [Value(name) for name in names], sentence)
    project.makes = True
    applied = project.database.prepare(note)
    with project.session(any_schema=True) as session:
        applied += database.migrate.migrate(session.target, note)
    needed = database.steps.latest_version()
    return Result(
        {"version": needed, "applied": applied},
        [Value(step) for step in applied],
        "" if applied else f"the tables are already at version {needed}",
    )


@command.command(cls=Verb, examples="db status\ndb status --json")
@on_project
def status(project: Project) -> Result:
    """Show the database and its tables' version; exit status 1 if jobsd can't use them.

    Exit status 78 when another build of jobsd has made the tables.
    """
    with project.session(any_schema=True) as session:
        found = database.migrate.version(session)
        if found:
            applied = database.other_build.applied_steps(session)
            database.other_build.refuse(session.target.schema, applied)
        server = session.connection.info.parameter_status("server_version")
    current = database.steps.latest_version() <= found <= database.steps.newest_supported()
    return facts(
        {
            "database": database.connection.redact(session.target.url),
            "embedded": project.database.server is not None,
            "server_version": server,
            "schema": session.target.schema,
            "version": found,
            "needed_version": database.steps.latest_version(),
            "oldest_supported": database.steps.oldest_supported(),
            "newest_supported": database.steps.newest_supported(),
            "current": current,
        },
        status=DONE if current else FAILED,
    )


@command.command(cls=Verb, examples="db sql | psql postgresql://owner@host/app")
@on_project
def sql(project: Project) -> Result:
    """Print all DDL, to be applied by hand; needs no database."""
    return document("sql", database.steps.ddl(project.options.database.schema))


@command.command(
    cls=Verb,
    examples="db grants jobsd | psql postgresql://owner@host/app\ndb grants --enqueue-only web",
)
@click.argument("role")
@click.option("--enqueue-only", is_flag=True, help="The role may enqueue, and nothing else.")
@click.option("--read-only", is_flag=True, help="The role may read all, and change nothing.")
@click.option(
    "--operate", is_flag=True, help="The role may read, and act by hand (retry, pause …)."
)
@on_project
def grants(project: Project, /, role: str, **kinds: bool) -> Result:
    """Print the GRANT statements that a role needs to run the daemon, or to do less.

    With one of the options, they also revoke all other rights of the role.
    """
    wanted = [name.replace("_", "-") for name, given in kinds.items() if given]
    if len(wanted) > 1:
        raise click.UsageError(f"use only one of --{' and --'.join(wanted)}")
    schema = project.options.database.schema
    return document("sql", database.grants.grants(schema, role, *wanted))


@command.command(cls=Verb, examples="db url\ndb url --json")
@on_project
def url(project: Project) -> Result:
    """Print the URL that the other commands use, with its password.

    Starts the embedded server if that is the database, and makes it where there is none.
    """
    project.makes = True
    target = project.target(any_schema=True)
    embedded = project.database.server is not None
    return Result(
        {"url": target.url, "schema": target.schema, "embedded": embedded},
        (Value(target.url),),
    )


@command.command(
    cls=Verb,
    prints=False,
    examples="db psql\ndb psql -c 'SELECT count(*) FROM jobsd.jobs'",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]…")
@click.option("--database-url", metavar="URL", help="Env: QUEUE_DATABASE_URL, DATABASE_URL.")
def psql(database_url: str | None, arguments: Iterable[str]) -> None:
    """Open psql on this database, with the psql of the embedded server.

    All other options are passed to psql.
    """
    from jobsd.daemon.cli.psql import become_psql

    # Without the option -c of the other commands, which is one of psql's.
    project = Project(database_url=database_url)
    project.makes = True
    become_psql(project, tuple(arguments))


@command.command(cls=Verb, examples="db stop")
@on_project
def stop(project: Project) -> Result:
    """Stop the embedded server of this project, whichever process uses it."""
    from jobsd.daemon.tree.supervisor_request import pids

    stopped = project.embedded.stop()
    sentence = (
        "the embedded PostgreSQL has stopped" if stopped else "no embedded PostgreSQL runs"
    )
    if stopped and (left := pids(project.root)):
        numbers = ", ".join(map(str, left))
        sentence += (
            f"; the daemon (process {numbers}) has no database until a command such as"
            f" `{program()} status` starts the server again"
        )
    return done(sentence, {"stopped": stopped})
