"""No tables: those of jobsd are its own. The one model is what permissions are about."""

from .library import db_models as models


class Dashboard(models.Model):  # type: ignore[misc] # pyright: ignore[reportUntypedBaseClass]
    """The dashboard, as the admin lists it and as users are given permissions for it."""

    class Meta:
        """It has no table."""

        managed = False
        default_permissions = ()
        permissions = (
            ("operate_dashboard", "Can retry, discard and run jobs, and pause queues"),
            ("administer_dashboard", "Can do everything in the dashboard of jobs"),
        )
        verbose_name = verbose_name_plural = "dashboard"
