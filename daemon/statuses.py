"""The statuses that commands exit with."""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
NOT_RUNNING = 3
UNREACHABLE = 4
NOT_FOUND = 5
REFUSED = 6
CRASHED = 70
HELD = 75
CONFIGURATION = 78
INTERRUPTED = 130
