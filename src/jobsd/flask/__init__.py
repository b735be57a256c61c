"""Jobs in an application of Flask: `Jobs(app)`, or `jobs.init_app(app)` in a factory."""

from collections.abc import Generator

from flask import Flask, current_app, has_app_context, request_started

from jobsd import face, handed_on, in_web
from jobsd.jobs import current, default_database, middleware

from . import command, queue

__all__ = ["Jobs"]

_served: list[Flask] = []
"""The application that was set up last: the one of this process."""


class Jobs:
    """Runs jobs in the context of the application, and adds `flask jobs` to its commands.

    The first of these names the database of the queue: `JOBSD_DATABASE_URL` of the
    application's configuration, the settings that the commands use, `SQLALCHEMY_DATABASE_URI`.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set an application up; of several in a process, jobs run in that of the last call."""
        app.extensions["jobs"] = self
        app.cli.add_command(command.jobs_command)
        _served[:] = [app]
        # Until a target is set here, it finds the database as the commands do.
        assert face.HOMES  # noqa: S101 - it must be loaded before the next call
        default_database.find_target_by(lambda: queue.target(app), lambda: queue.schema(app))
        handed_on.find_by(lambda: queue.handed_on(app))
        middleware.around_job(in_application)
        if in_web.is_enabled():
            request_started.connect(in_web.warn_unless_kept, app)


def in_application(job: current.CurrentJob) -> Generator[None]:
    """Perform a job in the context of the application, a new one unless it is there already."""
    del job
    (app,) = _served
    # A view or a test performs the job itself: the job shares its `g` and its session.
    if has_app_context() and current_app == app:
        yield
        return
    with app.app_context():
        yield
