"""The names of the commands: those that `-h` shows, and those that only `help commands` does.

What a reader of `-h` meets is short. The others are said in another way there, or rarely typed
by hand; they work all the same.
"""

from collections.abc import Sequence

SHOWN = {
    "The daemon": {
        "start": "Run the daemon in the foreground (the default)",
        "stop": "Stop the daemon, and wait until it has ended",
        "reload": "Read files and modules again, without a gap",
        "restart": "Stop and start again, for a new version of jobsd",
        "status": "Show on one screen what runs, waits, is due and failed",
        "logs": "Print the log; filter by level, job, class or text",
    },
    "Jobs": {
        "enqueue": "Enqueue a job by its name",
        "perform": "Run a job or a task in this process, at once",
        "list": "List jobs, the newest first",
        "show": "Show jobs, and why one is not running",
        "failures": "Show failed jobs by class and error",
        "retry": "Retry failed jobs with a fresh set of attempts",
        "cancel": "Discard jobs that wait, stop jobs that run",
        "queues": "Show sizes and latencies; pause, resume, clear",
    },
    "Recurring tasks": {
        "recurring": "List, show, run and add tasks; explain a schedule",
        "heartbeat": "Show recorded heartbeats; verify them, find gaps",
    },
    "The project": {
        "config": "Show every setting and its source; check the files",
        "doctor": "Examine database, wake-ups, clocks, processes",
        "db": "Manage the database: migrate, status, sql, url, psql",
        "generate": "Write a Procfile, a crontab, completions, a man page",
        "web": "Serve the dashboard, for a browser",
        "console": "Open a Python prompt with jobs, HeartbeatLog, queues",
    },
}
"""The commands in groups, in the order of their use."""

OTHERS = {
    "audit": "List what was done by hand, and by whom: `logs --audit`",
    "bench": "Enqueue and drain jobs, as a self-test: `doctor --bench`",
    "check": "Report every configuration error: `config check`",
    "clear": "Delete old jobs: `clear --finished`",
    "clear-finished": "The same as `clear --finished`",
    "discard": "Discard jobs that are not running, also failed ones",
    "health": "Print health status as JSON (for probes)",
    "init": "Make a project: `generate project`",
    "mcp": "Serve tools for an agent, on stdin and stdout",
    "metrics": "Print what Prometheus would scrape: `status --metrics`",
    "plan": "Estimate cores, memory, WAL and disk for jobs a day",
    "ps": "List the processes of all hosts: `status --processes`",
    "restore-report": "List jobs that would run again after a restore",
    "version": "Print the version: `-V`",
    "with": "Run the daemon beside a web server: `start -- COMMAND`",
}
"""The commands that `-h` leaves out."""

BY_FLAG = {
    ("doctor", "--bench"): "bench",
    ("logs", "--audit"): "audit",
    ("status", "--metrics"): "metrics",
    ("status", "--processes"): "ps",
}
"""Commands that another one with a flag calls, with its other options."""

SUMMARIES = {name: does for group in (*SHOWN.values(), OTHERS) for name, does in group.items()}
NAMES = tuple(SUMMARIES)

_SHARED = {
    name: module
    for module, names in {
        "check": "check config doctor",
        "clear_finished": "clear-finished clear",
        "enqueue": "enqueue perform",
        "heartbeat": "heartbeat health",
        "job_changes": "retry discard cancel failures",
        "logs": "logs audit",
        "start": "start with",
        "status": "status ps metrics",
        "stop": "stop restart reload",
    }.items()
    for name in names.split()
}
"""Modules with several commands: each is `NAME_command` there, a single one `command`."""


def by_flag(words: Sequence[str]) -> list[str]:
    """Return the words of a call, with the command that a flag stands for."""
    for (name, flag), other in BY_FLAG.items():
        if words[:1] == [name] and flag in words:
            return [other, *(word for word in words[1:] if word != flag)]
    return list(words)


def place(name: str) -> tuple[str, str]:
    """Return the module of a command, and its name there."""
    word = name.replace("-", "_")
    shared = _SHARED.get(name)
    return (shared, f"{word}_command") if shared else (word, "command")
