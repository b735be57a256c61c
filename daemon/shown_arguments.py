"""Hides arguments in the output of commands, by `jobs.filter_arguments` of the project."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .program import note
from .project import Project

if TYPE_CHECKING:
    from jobsd.operations.shown_arguments import ShownArguments


def shown_arguments(project: Project) -> ShownArguments:
    """Return the filter of arguments that the project configures."""
    from jobsd.operations.shown_arguments import ShownArguments

    @cache
    def loaded() -> bool:
        return _loaded(project)

    return ShownArguments(
        project.options.jobs.filter_arguments,
        lambda class_name: _positional(class_name) if loaded() else None,
    )


def _positional(class_name: str) -> list[str] | None:
    from jobsd.jobs import registry

    definition = registry.find(class_name)
    takes = None if definition is None else definition.takes
    return None if takes is None else takes.positional


def _loaded(project: Project) -> bool:
    from jobsd.jobs import registry

    try:
        project.load_jobs()
    except registry.ModuleError as error:
        note(f"positional arguments are hidden: {str(error).splitlines()[0]}")
        return False
    return True
