"""The schedule language: cron expressions, phrases and intervals, and when they run.

    >>> schedule = parse("every weekday at 9am in Europe/Paris")
    >>> schedule.cron, schedule.time_zone
    ('0 9 * * 1-5', 'Europe/Paris')
    >>> schedule.upcoming(2, after=datetime(2026, 1, 1, tzinfo=UTC))   # aware, in UTC

`parse` takes a text: a cron expression of five or six fields, a name such as `@daily`, a
phrase, or an interval (`every: 90m`); `parse_every` takes an interval's length. Both return a
`Schedule`, or raise `ScheduleError`, which has the fault and a hint for its correction.
`explain` returns all of that as data. `require_zone` checks the name of a time zone.
`docs/reference/schedules.md` describes the language for users.

| to find | look in |
|---|---|
| which parser a text goes to, the `Schedule` that comes out, explanations | `schedule` |
| the parser of cron expressions | `cron_parser` |
| a cron expression, its fields, the way to print it | `cron_expression` |
| the parser of phrases | `vocabulary`, `tokenizer`, `phrase_parser` with `_days` |
| the crons of a parsed phrase | `phrase`, `phrase_compiler` |
| the next matching time of a wall clock, from croniter | `wall_clock` |
| the next run, and the effect of a change of the clocks | `next_run`, `time_zones` |
| hints for a text that is refused | `hints`, `error` |

A phrase is compiled into one cron expression or several; `next_run` computes the runs of
each. This package knows no database, no task and no present time. It imports nothing of
jobsd but `errors`, `clock` and `late`, so that it could be published as it stands.
"""

from .error import ScheduleError
from .schedule import Schedule, explain, parse, parse_every
from .time_zones import require_zone

__all__ = ["Schedule", "ScheduleError", "explain", "parse", "parse_every", "require_zone"]
