"""`python -m jobsd.daemon`, which `bin/jobs` starts."""

from .entry_point import main

main()
