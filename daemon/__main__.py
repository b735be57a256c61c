"""`python -m jobsd.daemon`, which `bin/jobs` becomes."""

from .cli import main

main()
