"""Refuses to build from a copy without its links; pyproject.toml has the rest.

pip unpacks a .zip itself and writes each link as a file, so that the rooms would be missing.
"""

import sys
from importlib import import_module
from pathlib import Path

PACKAGE = Path(__file__).parent / "src/jobsd"


def lost_links() -> list[str]:
    """Return the names below the package that are files where links to folders should be."""
    found = [*PACKAGE.iterdir(), *(PACKAGE / "shipped").iterdir()]
    return sorted(path.name for path in found if not path.suffix and not path.is_dir())


if lost := lost_links():
    sys.exit(
        f"error: jobsd can't be built from this copy: links in {PACKAGE} have become files"
        f" ({', '.join(lost)}); use a clone, the .tar.gz, or a .zip unpacked by unzip"
    )

# Last, and not by a statement: the refusal works without setuptools, too.
import_module("setuptools").setup()
