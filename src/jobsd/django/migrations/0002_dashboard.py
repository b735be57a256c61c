"""Makes the permissions for the dashboard, and no table."""

from typing import ClassVar

from jobsd.django.library import db_models as models
from jobsd.django.library import migrations


class Migration(migrations.Migration):  # type: ignore[misc] # pyright: ignore[reportUntypedBaseClass]
    """The model in `models.py`."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("jobsd", "0001_tables")]
    operations: ClassVar[list[object]] = [
        migrations.CreateModel(
            "Dashboard",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                )
            ],
            {
                "verbose_name": "dashboard",
                "verbose_name_plural": "dashboard",
                "permissions": (
                    ("operate_dashboard", "Can retry, discard and run jobs, and pause queues"),
                    ("administer_dashboard", "Can do everything in the dashboard of jobs"),
                ),
                "managed": False,
                "default_permissions": (),
            },
        )
    ]
