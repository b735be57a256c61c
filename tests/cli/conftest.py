"""The project of the commands' tests."""

from commands.conftest import daily, project, run

__all__ = ["daily", "project", "run"]
