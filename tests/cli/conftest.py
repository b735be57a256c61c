"""The project of the commands' tests."""

from commands.conftest import daily, project, run  # noqa: F401 - fixtures
