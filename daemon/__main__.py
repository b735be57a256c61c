"""`python -m jobsd.daemon`: what `bin/jobs` starts."""

from __future__ import annotations

from .entry_point import main

main()
