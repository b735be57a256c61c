"""The one list of all that can happen; `docs/reference/events.md` is made from it.

A name is a fixed word, never a sentence, and so are the names of the facts in brackets.
Not every fact is known each time. An event about one thing bears its name in the
singular, one about many at once in the plural.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event: its name, its level, its meaning, and the names of its facts."""

    name: str
    level: Level
    meaning: str
    facts: tuple[str, ...] = ()


_SHORT = {
    "$job": "job_id class_name queue_name attempt",
    "$limited": "job_id class_name queue_name concurrency_key",
    "$buried": "finished failed retried discarded snoozed released",
    "$death": "reason exit_status signal max_rss_kib up_s running",
    "$other": "kind process process_pid process_host",
}

_TABLE = """
supervisor.started info The supervisor begins to start its processes. [processes]
supervisor.ready info All configured processes are up. [processes duration]
supervisor.stopping info The tree drains, or ends at once. [at_once]
supervisor.stopped info The tree has ended. [exit_status duration]
supervisor.reloaded info The configuration was read again. [duration]
supervisor.reload_failed error The new configuration has faults. [error]
supervisor.gap warning The supervisor itself stood still: judge nobody. [seconds]
supervisor.state info The state of the tree, asked for with USR2. \
[processes restarts unwritten_deaths stopping]
signal.received debug A signal was received. [signal]

process.started info A process has begun.
process.stopped info A process has ended as it was asked to.
process.exited warning A process has ended, though nobody asked it to. [kind name pid $death]
process.replaced info A successor was started for a process that is gone or leaves. \
[kind name pid predecessor predecessor_pid $death]
process.crashed error A process ends by an error of its own. [error module]
process.hung error A process's loop stood still; it is being killed. \
[kind name pid stood_still_s running]
process.dumped error A process that dies of a fault, or hung, tells where a thread was. \
[kind name pid thread stack]
process.killed warning A process had to be killed to end. [kind name pid reason]
process.pruned warning A process's heartbeat stood still; it was buried. \
[$other duration $buried]
process.buried info A dead process's claims and row were cleared up. \
[$other child child_pid reason cause $buried]
process.lost_its_row warning A living process's row was deleted. [kind process row_id]
process.fork_failed error The system refused a new process. [kind error retry_in]
process.unstarted error No slot is free: deaths wait to be written. [kind unwritten]
process.reaped debug An orphan that came to us was reaped. [pid status]
process.worn info A process has done enough and asks for a successor. [limit reached]

database.waiting warning The database can't be reached at start. [error]
database.lost warning The database can't be reached, or used, any more. [error]
database.back warning The database is back after an outage. [duration]
database.reconnected info A broken connection was made anew at once. [error]
database.behind error The tables are missing or older than the program, and can't be made now. \
[error]
database.migrated info The tables were brought to a newer version. [steps]
database.migration_blocked warning A step waits for who holds its tables. [cause]
embedded.started info The embedded PostgreSQL was started. [duration after]
embedded.stopped info The embedded PostgreSQL was stopped.
embedded.waiting info The embedded PostgreSQL is not ready yet. [error]
http.unavailable warning The tree runs without HTTP. [bind error]
configuration.warning warning Something in the configuration is odd. [warning]

job.enqueued debug A job was stored: ready, scheduled or blocked. \
[job_id class_name queue_name state]
jobs.enqueued debug Jobs were stored together. [size]
job.blocked debug A job waits for others with its concurrency key. [$limited]
jobs.promoted debug Blocked jobs became ready: their keys had room. [size]
jobs.dispatched debug Scheduled jobs came due and became ready. [size]
jobs.claimed debug A worker has claimed a batch of jobs. [size claim_id job_ids]
job.started debug A job begins to run. [$job]
job.finished debug A job has succeeded. [$job duration]
job.failed error A job has failed for good. [$job duration error]
job.retried warning A job has failed and will be tried again. [$job duration error retry_in]
job.discarded info A job was dropped: its definition says so, or a conflict. \
[$job duration error reason concurrency_key]
job.snoozed debug A job has put itself off. [$job duration retry_in]
job.released info A claimed job went back to ready, untouched: its process ends, or has. [$job]
jobs.released debug Jobs that a worker had claimed ahead went back to ready. [size job_ids]
job.output info A job, or a module, has told a text that is the name of an event. [message]
job.unknown warning A job is of a class that was not imported here: it and the others of its \
class wait for a worker that knows it. [class_name queue_name]
jobs.retried info Failed jobs were made ready again by hand. [size job_ids]
jobs.discarded info Jobs were discarded by hand, or found no slot and may not wait. \
[size job_ids reason]
jobs.cleared info Finished jobs past their time were removed. [jobs class_name]
jobs.lost error Jobs were found in no table: it may be that they still run. [size job_ids]
jobs.walked info All jobs were looked at for lost ones. [jobs duration]
queue.paused info A queue was paused: nothing of it is claimed. [queue_name reason by]
queue.resumed info A paused queue was resumed. [queue_name]
queue.cleared info All ready jobs of a queue were discarded. [queue_name size]
claims.lost warning Outcomes were not recorded: the claims were taken away. [claims]
claims.taken warning Claims of a process without a row were settled. [process_id $buried]
slots.freed warning Slots of jobs that were neither ready nor claimed were freed. \
[size concurrency_keys job_ids]

recurring.loaded info The recurring tasks were read and stored. [tasks]
recurring.enqueued info A recurring task was enqueued. [task run_at job_id class_name]
recurring.skipped debug A planned run was enqueued by someone else. [task run_at]
recurring.missed warning Planned runs lie in the past and are skipped. [task runs first last]
recurring.overlapped info A run was left out: the previous one lives. [task run_at]
recurring.discarded info A run was left out: the limit of its job was reached. [task run_at]
recurring.failed error A recurring task could not be enqueued. [task run_at source error]
recurring.conflict warning Two files name the same recurring task. [task source other wins]
recurring.clock_put_back warning The server's clock was put back: all tasks are planned anew. \
[seconds]

hook.failed error A hook has raised, or takes too long; nothing else changes. \
[hook function process error]
thread.failed error An error that nobody caught has ended a thread, or has struck one of ours \
between two jobs. [thread ours error]
logs.summed info Lines of a job's event, class and error, beyond twenty in a second, were left \
out; its level is theirs. --log-jobs tells them all. [of lines since class_name error]
logs.reopened info The log was opened again.
logs.dropped warning Lines could not be written; now they can be again. [lines]
"""

_LINE = re.compile(r"^(\S+) (\w+) (.+?\.)(?: \[(.+)\])?$", re.MULTILINE)


def _read(name: str, level: str, meaning: str, facts: str) -> Event:
    words = " ".join(_SHORT.get(word, word) for word in facts.split())
    return Event(name, cast("Level", level), meaning, tuple(words.split()))


EVENTS = {found[1]: _read(*found.groups(default="")) for found in _LINE.finditer(_TABLE)}
