"""`doctor`: examine everything that jobsd needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.verbs import Verb, as_json, on_project

if TYPE_CHECKING:
    from jobsd.daemon.finding import Finding
    from jobsd.daemon.project import Project


@click.command(cls=Verb, examples="doctor\ndoctor --json")
@as_json
@on_project
def command(project: Project, *, as_json: bool) -> int:
    """Examine configuration, database, processes, jobs, tasks: OK, WARN or FAIL each.

    Exit status 1 when anything fails, 4 when the database can't be reached.
    """
    from jobsd.daemon.doctor import examine
    from jobsd.daemon.exits import DONE, FAILED, UNREACHABLE
    from jobsd.daemon.output import print_json, print_line

    findings = list(examine(project))
    if as_json:
        print_json([finding.facts() for finding in findings])
    else:
        for found in findings:
            print_line(_line(found))
    failed = {found.subject for found in findings if found.level == "FAIL"}
    return UNREACHABLE if "database" in failed else FAILED if failed else DONE


def _line(found: Finding) -> str:
    from jobsd.daemon.output import is_terminal, plain

    if is_terminal():
        return f"{found.level:5}{found.subject:15}{plain(found.message)}"
    return f"{found.level}\t{found.subject}\t{plain(found.message)}"
