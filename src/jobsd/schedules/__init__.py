"""The schedule language: cron expressions, phrases and intervals, and when they run.

`parse` takes the text that a person writes, `parse_every` a true interval; both return a
`Schedule` or raise `ScheduleError`. This room knows no database, no task and no present time.
It imports only `jobsd.errors` and `jobsd.clock`, so that it could be published as it stands.

The way of a text: `schedule` tells cron expressions (`cron_expression`, `cron_fields`) from
phrases (`tokens`, `phrase_parser`, then `to_cron`). Both become a `Cron`, whose instants
`times` computes in a time zone, with `wall_clock` below it.
"""

from __future__ import annotations

from .error import ScheduleError
from .explain import explain
from .schedule import Schedule, parse, parse_every

__all__ = ["Schedule", "ScheduleError", "explain", "parse", "parse_every"]
