"""The project of the commands' tests, for files that it generates."""

from commands.conftest import daily, project, run

__all__ = ["daily", "project", "run"]
