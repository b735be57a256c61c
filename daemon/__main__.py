"""`python -m jobsd.daemon`: what `bin/jobs` starts."""

from __future__ import annotations

import os

try:
    from .cli import main

    main()
except KeyboardInterrupt:
    # Somebody was quicker than our imports.
    os._exit(130)
