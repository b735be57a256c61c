"""`python -m jobsd.daemon`: what `bin/jobs` starts."""

from .entry_point import main

main()
