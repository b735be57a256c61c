"""Finds psql, and connects it without a password in its title."""

import os
import shutil
from collections.abc import Sequence
from typing import Any, NoReturn

import psycopg
from psycopg import conninfo

from jobsd.database import names
from jobsd.errors import EmbeddedServerError, NotFoundError

from .project import Project


def become_psql(project: Project, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by psql.

    Raises:
        NotFoundError: if there is none on this machine.
    """
    takes_path = _reach(project)
    url = project.target(any_schema=True).url
    program = _find(project)
    parameters = conninfo.conninfo_to_dict(url)
    environ = dict(os.environ)
    # Any user may read the arguments of a process; its environment only its owner.
    if (password := parameters.pop("password", None)) is not None:
        environ["PGPASSWORD"] = str(password)
    if (password := parameters.pop("sslpassword", None)) is not None:
        _serve(parameters, environ, f"sslpassword={password}")
    if takes_path and "options" not in parameters and "PGOPTIONS" not in environ:
        environ["PGOPTIONS"] = _search_path(project)
    connection = conninfo.make_conninfo("", **parameters)
    os.execve(program, ["psql", connection, *arguments], environ)  # noqa: S606 - no shell


def _reach(project: Project) -> bool:
    """Connect first: psql would wait for a silent server without end, and end with 2.

    Return whether the connection takes a search path; a transaction pooler refuses one.
    """
    with project.session(any_schema=True):
        url = project.target(any_schema=True).url
    try:
        way: dict[str, Any] = names.resolve(dict(conninfo.conninfo_to_dict(url)))
        way |= {"options": _search_path(project), "connect_timeout": 3}
        psycopg.connect(**way).close()
    except psycopg.Error:
        return False
    return True


def _search_path(project: Project) -> str:
    """Return the option that makes psql search our schema after the user's own."""
    return f'-csearch_path="$user",public,{project.database.target.schema}'


def _serve(parameters: dict[str, Any], environ: dict[str, str], setting: str) -> None:
    """Give psql a setting without a variable: in a service file that only this process has.

    If the URL or the environment names another service, that is impossible; psql then asks for
    the password.
    """
    if "service" in parameters or environ.get("PGSERVICE"):
        return
    file = os.memfd_create("services", 0)
    os.write(file, f"[jobsd]\n{setting}\n".encode())
    environ["PGSERVICEFILE"] = f"/proc/self/fd/{file}"
    parameters["service"] = "jobsd"


def _find(project: Project) -> str:
    try:
        return str(project.embedded.psql())
    except EmbeddedServerError:
        found = shutil.which("psql")
    if found is None:
        raise NotFoundError("there is no psql: install jobsd[embedded], or PostgreSQL's client")
    return found
