"""The project of the commands' tests, for trees that it starts."""

from commands.conftest import daily, project, run

__all__ = ["daily", "project", "run"]
