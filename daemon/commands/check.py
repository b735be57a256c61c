"""`check`, `config` and `doctor`: whether the environment of jobsd is in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import click

from jobsd.configuration.found_modules import FOLDER, found_modules
from jobsd.daemon.cli.output import Column, Result, Table, Value, colored
from jobsd.daemon.cli.verbs import Noun, Project, Verb, also, chosen_format, flag_of, on_project
from jobsd.daemon.statuses import CONFIGURATION, DONE, UNREACHABLE
from jobsd.daemon.values import length, plain

if TYPE_CHECKING:
    from jobsd.errors import Fault
    from jobsd.recurring.definition import TaskDefinition

_CHECK_EXAMPLES = """
check
check -c config/queue.yml -r config/recurring.yml
check --json
"""


@click.command(cls=Verb, examples=_CHECK_EXAMPLES)
@click.option("-c", "--config", metavar="FILE", help="Env: JOBSD_CONFIG.")
@click.option("-r", "--recurring", metavar="FILE", help="Env: JOBSD_RECURRING_SCHEDULE.")
@click.option("--import", "imports", metavar="MODULE", multiple=True, help="As in `start`.")
def check_command(
    config: str | None, recurring: str | None, imports: tuple[str, ...]
) -> Result:
    """Report every configuration error; needs no database and starts nothing.

    It imports the modules of `import:`, and compares recurring tasks with the jobs that they
    name. Exit status 0, or 78 when there are faults.
    """
    from jobsd.configuration.faults import report
    from jobsd.logs.redaction import redacted

    project = Project(config=config, recurring=recurring, imports=imports)
    faults, warnings, of_code = _examine(project)
    found = [] if faults else _found_modules(project)
    # It includes messages of a module that can't be imported.
    document = redacted(
        {
            "valid": not faults,
            "faults": [asdict(fault) for fault in faults],
            "warnings": warnings,
            "found_modules": found,
            "code_tasks": [
                {"key": task.key, "schedule": task.phrase, "source": task.source}
                for task in of_code
            ],
        }
    )
    return Result(
        document,
        () if faults else tuple(map(Value, _report(found, of_code))),
        report(faults, warnings) if faults or warnings else "",
        CONFIGURATION if faults else DONE,
    )


def _found_modules(project: Project) -> list[str]:
    """Return the modules that were found, if `import:` names none."""
    from jobsd.configuration import listed

    rows = listed.settings(project.root, project.environ, project.flags)
    row = next(each for each in rows if each["setting"] == "import")
    is_found = row["source"] == listed.FOUND
    return list(found_modules(project.root)) if is_found else []


def _report(found: Sequence[str], of_code: Iterable[TaskDefinition]) -> Iterator[str]:
    yield "configuration is valid"
    if found:
        yield f"imported from {FOLDER}: {', '.join(found)}"
    for task in of_code:
        yield f"scheduled in {task.source}: {task.key}, {task.phrase}"


def _examine(
    project: Project,
) -> tuple[tuple[Fault, ...], tuple[str, ...], tuple[TaskDefinition, ...]]:
    """Return the faults, the warnings, and the recurring tasks of the code."""
    from jobsd.daemon.tree import import_check, unattended

    examined = project.examine()
    faults, options = examined.faults, examined.options
    if faults and not _knows_modules(faults, options.config, options.imports):
        return faults, options.warnings, ()
    imported = import_check.check_imports(options)
    if faults or imported.faults:
        return (*faults, *imported.faults), options.warnings, ()
    kept = (*unattended.kept_history(options), *unattended.kept_rows(options))
    return (), (*options.warnings, *imported.warnings, *kept), imported.code_tasks


def _knows_modules(faults: Iterable[Fault], config: str, imports: Sequence[str]) -> bool:
    """Return whether `import:` was read although there are other faults.

    If a misspelt module were left out, unrelated faults would be reported.
    """
    queue_file = any(fault.source.partition(":")[0] == config for fault in faults)
    return bool(imports) or not queue_file


def _text(value: object) -> str:
    return plain(value) or "-"


@click.group(cls=Noun, examples="config\nconfig --json\nconfig check", default="show")
def config_command() -> None:
    """Show the configuration as the daemon would read it, or its faults."""


config_command.add_command(also(check_command, "check", "config check"))


_SETTING_COLUMNS = (
    Column("setting", show=_text),
    Column("value", show=_text, cuts=True),
    Column("source", "FROM", show=_text, rank=2, cuts=True),
)


@config_command.command(
    cls=Verb, hidden=True, table=_SETTING_COLUMNS, examples="config show\nconfig show --json"
)
@on_project
def show(project: Project) -> Result:
    """Show every setting: its value, and the flag, variable or line that sets it.

    Needs no database; passwords are left out. Exit status 78 when a setting can't be read.
    """
    rows = list(_settings(project, for_people=chosen_format().terminal))
    return Result(rows, (Table(rows, _SETTING_COLUMNS),))


def _settings(project: Project, *, for_people: bool) -> Iterator[dict[str, object]]:
    """Yield each setting as a start would read it; people get times with units."""
    from jobsd.configuration import listed

    for row in listed.settings(project.root, project.environ, project.flags):
        value = _with_units(row["value"]) if for_people and row["seconds"] else row["value"]
        yield {"setting": row["setting"], "value": value, "source": row["source"]}


def _with_units(value: object) -> object:
    match value:
        case int() | float():
            return length(float(value))
        case dict():
            each = cast("dict[str, float]", value).items()
            return ", ".join(f"{queue}: {length(seconds)}" for queue, seconds in each)
        case _:
            return value


_DOCTOR_COLUMNS = (
    Column("level", style=colored),
    Column("subject"),
    Column("message", show=plain, rank=1, wraps=True),
)


@click.command(cls=Verb, examples="doctor\ndoctor --json\ndoctor --lost --fix")
@click.option("--lost", is_flag=True, help="Search all jobs for those that are in no table.")
@click.option("--fix", is_flag=True, help="Make those ready again that no worker runs.")
@flag_of("--bench", "Enqueue and drain no-op jobs, as a self-test: `bench`.")
@on_project
def doctor_command(project: Project, *, lost: bool, fix: bool) -> Result:
    """Examine configuration, database, processes, jobs and tasks; rate each OK, WARN or FAIL.

    `--lost` reads all jobs, so it is for after a restore. `--fix` first waits until each living
    worker has said which jobs it runs.

    Exit status 1 when anything fails, 4 when the database can't be reached, 78 when another
    build of jobsd has made its tables.
    """
    from jobsd.daemon.cli import doctor, lost_jobs

    if fix and not lost:
        raise click.UsageError("--fix needs --lost", click.get_current_context())
    findings = list(doctor.examine(project))
    if lost and findings[-1].subject not in {"database", "schema"}:
        findings.append(lost_jobs.examine(project, fixing=fix))
    failed = {found.subject: found.status for found in findings if found.level == "FAIL"}
    rows = [finding.facts() for finding in findings]
    status = UNREACHABLE if "database" in failed else max(failed.values(), default=DONE)
    return Result(rows, (Table(rows, _DOCTOR_COLUMNS, heading=False),), status=status)
