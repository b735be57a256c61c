"""The lines of an operations guide for Solid Queue, and what answers each of them here.

A row is the line of that guide, what stands there, and how it is tried. All rows share one
project and one tree; commands share a process.
"""

# What the console answers has any type.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from docs.operations_checks import (
    as_tests,
    either_class_or_command,
    format_holds,
    in_web,
    kamal,
    row_of_heartbeat,
    urls,
    with_a_web_server,
)
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from docs.operations import Guide
    from jobsd.configuration.options import Options

LOG = "log/production.log"
SELECT = "SELECT * FROM heartbeat_logs ORDER BY executed_at DESC LIMIT 10"
LINE = re.compile(
    r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d info +\[HEARTBEAT\] \{"timestamp":"[^"]+",'
    r'"environment":"production","hostname":"[^"]+",'
    r'"message":"Heartbeat job executed successfully"\}'
)


@dataclass(frozen=True)
class Row:
    """A line of the guide, and how it is tried; `snippets` are asked of the console before."""

    line: int
    there: str
    holds: Callable[[Guide], bool]
    snippets: tuple[str, ...] = ()


def _options(guide: Guide, **environ: str) -> Options:
    return load(guide.project.root, {"JOBSD_ENV": "production", **environ}, Flags())


def _task(guide: Guide, key: str) -> dict[str, object]:
    found: dict[str, object] = guide.jobs("recurring", "show", key, "--json").document
    return found


def _asked(line: int, there: str, *snippets: str, is_: Callable[..., bool]) -> Row:
    """Return a row that the console answers: `is_` gets what its snippets come to."""

    def holds(guide: Guide) -> bool:
        return is_(*(guide.values[each] for each in snippets))

    return Row(line, there, holds, snippets)


def _explained(phrase: str, cron: str) -> Callable[[Guide], bool]:
    command = ("recurring", "explain", phrase, "--json")
    return lambda guide: guide.jobs(*command).document["cron"] == cron


ROWS: tuple[Row, ...] = (
    Row(
        7,
        "no external dependencies like Redis",
        lambda _: not any("redis" in each for each in metadata.requires("jobsd") or ()),
    ),
    Row(8, "uses existing PostgreSQL", lambda g: "current\tTrue" in _lower(g, "db", "status")),
    Row(
        10,
        "built-in recurring tasks",
        lambda g: (
            {"heartbeat", "clear_finished", "daily_cleanup"}
            <= {each["key"] for each in g.jobs("recurring", "list", "--json").document}
        ),
    ),
    Row(11, "in the same process or a separate worker", with_a_web_server),
    Row(
        12,
        "works with Dokku/Kamal",
        lambda g: (
            g.jobs("generate", "dokku").document["formation"] == {"jobs": {"quantity": 1}}
        ),
    ),
    _asked(
        21,
        "queue_adapter = :solid_queue",
        "DailyCleanupJob.enqueue().id > 0",
        is_=lambda reported: reported is True,
    ),
    Row(22, "connects_to = { database: { writing: :queue } }", urls),
    Row(24, "a connection of its own", lambda g: "connections" in g.jobs("doctor").out),
    Row(31, "config/queue.yml", lambda g: g.jobs("check").lines == ["configuration is valid"]),
    Row(
        32, "polling_interval: 1", lambda g: _options(g).dispatchers[0].polling_interval_s == 1
    ),
    Row(33, "batch_size: 500", lambda g: _options(g).dispatchers[0].batch_size == 500),
    Row(35, 'queues: "*"', lambda g: _options(g).workers[0].queues == ("*",)),
    Row(36, "threads: 3", lambda g: _options(g).workers[0].threads == 3),
    Row(
        37,
        'processes: <%= ENV.fetch("JOB_CONCURRENCY", 1) %>',
        lambda g: (
            [
                _options(g, **environ).workers[0].processes
                for environ in ({}, {"JOB_CONCURRENCY": "3"})
            ]
            == [1, 3]
        ),
    ),
    Row(
        38, "polling_interval: 0.1", lambda g: _options(g).workers[0].polling_interval_s == 0.1
    ),
    Row(43, "bin/jobs", lambda g: g.jobs("status").status == 0),
    Row(52, "plugin :solid_queue", with_a_web_server),
    Row(58, "SOLID_QUEUE_IN_PUMA: true", in_web),
    Row(72, "cmd: bin/jobs", kamal),
    Row(
        81,
        "scaled independently",
        lambda g: (
            load(g.project.root, {"JOBSD_ENV": "production"}, Flags(only="worker")).only
            == frozenset({"worker"})
        ),
    ),
    Row(97, "the format of recurring.yml", format_holds),
    Row(100, "class: JobClassName  # OR", either_class_or_command),
    Row(
        101,
        'command: "Ruby.code.here"',
        lambda g: g.jobs("recurring", "show", "clear_finished").status == 0,
    ),
    Row(102, "queue: queue_name", format_holds),
    Row(103, "priority: 1", format_holds),
    Row(104, "args: [arg1, arg2]", format_holds),
    Row(112, "every 5 minutes", _explained("every 5 minutes", "*/5 * * * *")),
    Row(115, "every hour", _explained("every hour", "0 * * * *")),
    Row(118, "every hour at minute 12", _explained("every hour at minute 12", "12 * * * *")),
    Row(121, "at 5am every day", _explained("at 5am every day", "0 5 * * *")),
    Row(124, "*/15 * * * *", _explained("*/15 * * * *", "*/15 * * * *")),
    Row(
        131,
        "a heartbeat every 5 minutes",
        lambda g: _task(g, "heartbeat")["schedule"] == "every 5 minutes",
    ),
    Row(
        133,
        "writes log entry and row",
        lambda g: "[HEARTBEAT]" in g.log and row_of_heartbeat(g),
    ),
    Row(134, "the table heartbeat_logs", row_of_heartbeat),
    Row(
        136,
        "clears finished jobs at minute 12",
        lambda g: _task(g, "clear_finished")["schedule"] == "every hour at minute 12",
    ),
    Row(
        138,
        "SolidQueue::Job.clear_finished_in_batches",
        lambda g: "clear_finished_in_batches" in str(_task(g, "clear_finished")["command"]),
    ),
    Row(157, "timestamp, environment, hostname", lambda g: LINE.search(g.log) is not None),
    _asked(
        164,
        "HeartbeatLog.latest",
        "HeartbeatLog.latest().environment",
        is_=lambda reported: reported == "production",
    ),
    _asked(
        168,
        "HeartbeatLog.verify_recent(within: 10.minutes)",
        "HeartbeatLog.verify_recent(within='10m')",
        is_=lambda reported: reported is True,
    ),
    Row(175, 'grep "HEARTBEAT" log/production.log', lambda g: bool(_grep(g, "HEARTBEAT"))),
    Row(
        179,
        '[HEARTBEAT] {"timestamp":…}',
        lambda g: all(LINE.match(each) for each in _grep(g, r"\[HEARTBEAT\]")),
    ),
    Row(
        184,
        "SELECT * FROM heartbeat_logs ORDER BY executed_at DESC LIMIT 10",
        lambda g: "production" in g.shell(f'bin/jobs db psql -c "{SELECT}"').out,
    ),
    Row(
        194,
        "ps aux | grep solid_queue",
        lambda g: "jobsd worker" in g.shell("ps aux | grep jobsd").out,
    ),
    _asked(
        200,
        "SolidQueue::RecurringTask.all",
        "len(RecurringTask.all())",
        is_=lambda reported: reported == 3,
    ),
    _asked(
        206,
        'RecurringTask.find_by(name: "heartbeat")',
        "RecurringTask.find_by(name='heartbeat').key",
        "RecurringTask.find_by(name='absent')",
        is_=lambda key, none: (key, none) == ("heartbeat", None),
    ),
    Row(
        212,
        r'grep -i "solid_queue\|heartbeat"',
        lambda g: any("jobsd" in each for each in _grep(g, r"jobsd\|heartbeat", "-i")),
    ),
    Row(217, "worker process health", lambda g: "worker" in g.jobs("ps").out),
    Row(218, "the pool of connections", lambda g: "connections" in g.jobs("doctor").out),
    Row(219, "system load", lambda g: "load " in g.jobs("status").out),
    Row(228, "bin/rails server", with_a_web_server),
    _asked(235, "rails console", "jobsd.__name__", is_=lambda reported: reported == "jobsd"),
    Row(
        239,
        "SolidQueue::RecurringTask.all",
        lambda g: len(g.jobs("recurring", "list").lines) == 3,
    ),
    _asked(
        242,
        "HeartbeatLog.recent",
        "len(HeartbeatLog.recent())",
        is_=lambda reported: reported >= 2,
    ),
    Row(249, "queue_adapter = :test", as_tests),
    _asked(
        255,
        "HeartbeatJob.perform_now",
        "HeartbeatJob.perform_now()",
        is_=lambda reported: reported is None,
    ),
    Row(265, "no additional set-up", lambda g: "database.migrated" in g.log),
    Row(
        272,
        "tail -f /app/log/production.log | grep HEARTBEAT",
        lambda g: bool(g.shell(f"tail -n 1000 {LOG} | grep HEARTBEAT").out),
    ),
    Row(
        277,
        "HeartbeatLog.recent",
        lambda g: len(g.jobs("heartbeat", "recent", "--json").document) >= 2,
    ),
    Row(287, "SOLID_QUEUE_IN_PUMA: true", in_web),
    Row(
        294,
        "kamal app logs",
        lambda g: "HEARTBEAT" in g.jobs("logs", "--grep", "HEARTBEAT").out,
    ),
    _asked(
        310,
        "{ healthy: recent, last_heartbeat: … }",
        "sorted(health_status('10m'))",
        is_=lambda t: t == ["healthy", "last_heartbeat"],
    ),
    _asked(
        321,
        "HeartbeatLog.recent.limit(10)",
        "len(HeartbeatLog.recent().limit(1))",
        is_=lambda reported: reported == 1,
    ),
    _asked(
        326,
        'HeartbeatLog.by_hostname("web-1").recent',
        "len(HeartbeatLog.by_hostname('web-1').recent())",
        is_=lambda reported: reported == 1,
    ),
    _asked(
        331,
        'HeartbeatLog.where("executed_at > ?", 1.hour.ago)',
        "[each.hostname for each in HeartbeatLog.since('1h')][-1]",
        is_=lambda reported: reported == "web-1",
    ),
    Row(
        338,
        r'grep "\[HEARTBEAT\]" log/production.log | tail -20',
        lambda g: bool(g.shell(rf'grep "\[HEARTBEAT\]" {LOG} | tail -20').out),
    ),
    Row(
        341,
        "… | cut -d' ' -f1-3",
        lambda g: all(
            re.fullmatch(r"\S+ \S+ info", each)
            for each in g.shell(rf"grep '\[HEARTBEAT\]' {LOG} | cut -d' ' -f1-3").lines
        ),
    ),
    Row(
        347,
        "WARNING: No heartbeat in last 10 minutes!",
        lambda g: g.jobs("heartbeat", "gaps", "--every", "5m", "--since", "24h").status == 1,
    ),
    _asked(
        362,
        "class DailyCleanupJob < ApplicationJob",
        "issubclass(DailyCleanupJob, Job)",
        is_=lambda reported: reported is True,
    ),
    _asked(
        365,
        "queue_as :default",
        "DailyCleanupJob.queue",
        is_=lambda reported: reported == "default",
    ),
    Row(
        374,
        "daily_cleanup: …",
        lambda g: _task(g, "daily_cleanup")["schedule"] == "at 3am every day",
    ),
    Row(
        383,
        "DailyCleanupJob.perform_now",
        lambda g: "cleaned up" in g.shell("bin/jobs perform DailyCleanupJob").out,
    ),
    _asked(
        389,
        'RecurringTask.find_by(name: "daily_cleanup")',
        "RecurringTask.find_by(name='daily_cleanup').key",
        is_=lambda reported: reported == "daily_cleanup",
    ),
    Row(402, "cron: … in a Procfile", lambda g: "jobs: " in g.jobs("generate", "procfile").out),
    Row(
        407,
        "*/5 * * * * cd /app && …perform_now",
        lambda g: any(
            each.startswith("*/5 * * * *") and "perform HeartbeatJob" in each
            for each in g.jobs("generate", "crontab").lines
        ),
    ),
    Row(420, "the summary", lambda g: g.jobs("health").status == 0),
)


def _lower(guide: Guide, *words: str) -> str:
    return guide.jobs(*words).out.replace("true", "True")


def _grep(guide: Guide, pattern: str, *options: str) -> list[str]:
    return guide.shell(f"grep {' '.join(options)} '{pattern}' {LOG}").lines
