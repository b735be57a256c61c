"""No tables: those of jobsd are its own. The one model carries the permissions."""

from .library import db_models as models


class Dashboard(models.Model):  # type: ignore[misc] # pyright: ignore[reportUntypedBaseClass]
    """The dashboard, which the admin lists and for which users get permissions."""

    class Meta:
        """It has no table."""

        managed = False
        default_permissions = ()
        permissions = (
            ("operate_dashboard", "Can retry, discard and run jobs, and pause queues"),
            ("administer_dashboard", "Can do everything in the dashboard of jobs"),
        )
        verbose_name = verbose_name_plural = "dashboard"
