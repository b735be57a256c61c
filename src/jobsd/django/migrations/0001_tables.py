"""Makes the tables of the queue."""

from typing import ClassVar

from jobsd.django.library import migrations
from jobsd.django.tables import make


class Migration(migrations.Migration):  # type: ignore[misc] # pyright: ignore[reportUntypedBaseClass]
    """All steps so far, not atomic: each has a transaction of its own."""

    atomic = False
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[object]] = [
        migrations.RunPython(make, migrations.RunPython.noop, atomic=False)
    ]
