"""Hides arguments in the output of commands, by `jobs.filter_arguments` of the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .program import note

if TYPE_CHECKING:
    from jobsd.operations.shown_arguments import ShownArguments

    from .project import Project


def shown_arguments(project: Project) -> ShownArguments:
    """Return the filter of arguments that the project configures."""
    from jobsd.operations.shown_arguments import ShownArguments

    return ShownArguments(project.options.jobs.filter_arguments, lambda: _loaded(project))


def _loaded(project: Project) -> bool:
    from jobsd.jobs import registry

    try:
        project.load_jobs()
    except registry.ModuleError as error:
        note(f"positional arguments are hidden: {str(error).splitlines()[0]}")
        return False
    return True
