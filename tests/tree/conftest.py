"""The project of the commands' tests, for trees that it starts."""

from commands.conftest import daily, project, run  # noqa: F401 - fixtures
