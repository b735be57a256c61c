"""The Django app: its setup when Django starts."""

from jobsd import face, handed_on, in_web
from jobsd.arguments import references
from jobsd.database import other_build
from jobsd.enqueueing import backend
from jobsd.jobs import default_database
from jobsd.jobs.middleware import around_job

from . import checks, connections, instances, queue, runserver, tables
from .library import apps, conf, core_signals, module_loading, signals
from .library import checks as registry


class JobsConfig(apps.AppConfig):  # type: ignore[misc] # pyright: ignore[reportUntypedBaseClass]
    """Finds the database in `DATABASES`, and the jobs in `jobs.py` of every app."""

    name = "jobsd.django"
    label = queue.APP_LABEL
    verbose_name = "Jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Set up the default integration of a project."""
        # Until a target is set here, it finds the database as the commands do.
        assert face.HOMES  # noqa: S101 - it must be loaded before the next call
        default_database.find_target_by(queue.target, lambda: queue.SCHEMA)
        handed_on.find_by(queue.handed_on)
        other_build.migrate_by(queue.migrate_command())
        backend.place_by(queue.InTransactions())
        backend.search(queue.seen_in_test)
        around_job(connections.as_a_request_does)
        around_job(connections.as_an_asynchronous_request_does)
        references.register(instances.Instances())
        registry.register(checks.check_database)
        registry.register(checks.check_routers)
        signals.post_migrate.connect(tables.bring_up_to_date, sender=self)
        signals.post_migrate.connect(tables.empty_with_a_test, sender=self)
        module_loading.autodiscover_modules("jobs", *(["tasks"] if _has_tasks() else []))
        if runserver.is_meant():
            runserver.begin()
        if in_web.is_enabled():
            core_signals.request_started.connect(in_web.warn_unless_kept)


def _has_tasks() -> bool:
    """Return whether Django's tasks are jobs here; `tasks.py` may be another library's."""
    backends = getattr(conf.settings, "TASKS", {}).values()
    return any(each.get("BACKEND") == "jobsd.django.TasksBackend" for each in backends)
