"""The one way to PostgreSQL: connections, statements, migrations, a server of our own."""

from typing import TYPE_CHECKING

from jobsd import lazy

if TYPE_CHECKING:
    from . import connection, grants, migrate, other_build, steps

__all__ = ["connection", "grants", "migrate", "other_build", "steps"]
__getattr__ = lazy.modules(__name__, __all__)
