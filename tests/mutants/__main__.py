"""`python -m tests.mutants`, from the top of the clone."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # The tests are found by pytest with this folder on the path; so are we.
    sys.path[0] = str(Path(__file__).parents[1])
    from mutants.command import main

    sys.exit(main())
