"""The one way to PostgreSQL: connections, statements, migrations, a server of our own."""

from typing import TYPE_CHECKING

from jobsd import late

if TYPE_CHECKING:
    from . import connection, grants, migrate, other_build, steps

__all__ = ["connection", "grants", "migrate", "other_build", "steps"]
__getattr__ = late.modules(__name__, __all__)
