"""The one list of all events; `docs/reference/events.md` is made from it.

A name is a fixed word, never a sentence, and so are the names of the facts in brackets. Not
every fact is known each time. An event about one thing has its name in the singular, an event
about many at once in the plural.
"""

from __future__ import annotations

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
    "$recovered": "finished failed retried discarded snoozed released",
    "$exit": "reason exit_status signal max_rss_kib up_s running",
    "$other": "kind process process_pid process_host",
}

_TABLE = """
supervisor.started info The supervisor starts its processes. [processes]
supervisor.ready info All configured processes are up. [processes duration]
supervisor.emptied info No job is left, so the tree stops (`--until-empty`). [duration]
supervisor.stopping info The tree drains and stops, or stops at once. [at_once]
supervisor.stopped info The tree has stopped. [exit_status duration]
supervisor.reloaded info The configuration was read again. [duration]
supervisor.reload_failed error The new configuration has faults, or a process can't start. \
[error]
supervisor.stalled warning The supervisor's loop stalled, so hang detection is suspended for \
a while. \
[seconds]
supervisor.dumped info The state of the tree was logged because of USR2. \
[processes restarts unrecovered stopping]
signal.received debug A signal was received. [signal]
signal.withheld warning A signal was not sent to the web server, which does not handle it. \
[signal pid]

tree.started info The tree was started beside a web server, or by `start --reload`. [pid]
tree.exited info The tree has exited without a crash, or was stopped. [exit_status signal]
tree.crashed error The tree has crashed, and is started again after a wait. \
[exit_status signal wait_s]
web_server.started info The web server was started beside the tree. [pid command]
web_server.exited info The web server has ended: the tree ends too. [exit_status signal]
sources.changed info Files of the project have changed: the tree is reloaded. [files file]

process.started info A process has started.
process.stopped info A process has stopped in order.
process.exited warning A process has exited unexpectedly. [kind name pid $exit]
process.replaced info A successor was started for a process that has exited or is about to. \
[kind name pid predecessor predecessor_pid $exit]
process.crashed error A process exits because of an error in its own code. [error module]
process.overdue warning Jobs did not stop at their time limits: their process is asked to \
stop, and is killed if it does not. [kind name pid job_ids]
process.hung error A process's loop has hung; the process is being killed. \
[kind name pid stalled_s running]
process.dumped error The stack of a thread in a process that crashed in C or hung. \
[kind name pid thread stack]
process.killed warning A process did not stop in time and was killed. [kind name pid reason]
process.pruned warning A process's heartbeat had stopped: its jobs were recovered. \
[$other duration $recovered]
process.recovered info The claims of a dead process were settled and its row was deleted. \
[$other child child_pid reason cause $recovered]
process.deregistered warning The row of a living process was deleted. [kind process row_id]
process.fork_failed error The system has refused to fork a process. [kind error retry_in]
process.start_deferred error A process can't start until dead ones are recovered: no \
scoreboard entry is free. \
[kind unrecovered]
process.reaped debug An orphan process was reaped. [pid status]
process.recycling info A process has reached a limit and asks for a successor. [limit reached]

database.awaited warning The database can't be reached at the start. [error]
database.unavailable warning The database can no longer be reached, or used. [error]
database.available warning The database can be used again after an outage. [duration]
database.reconnected info A broken connection was replaced at once. [error]
database.foreign error The application enqueues into another database than that of the tree. \
[error]
schema.outdated error The tables are missing or older than the program, and can't be made \
now. \
[error]
schema.foreign error The tables were made by another build of jobsd, or lack what a statement \
names: the tree waits. \
[error]
database.migrated info The tables were migrated. [steps]
database.migration_blocked warning A migration waits for another session's lock. [cause]
embedded.started info The embedded PostgreSQL was started. [duration after]
embedded.stopped info The embedded PostgreSQL was stopped.
embedded.stopping info The tree ended before the embedded PostgreSQL had stopped.
embedded.awaited info The embedded PostgreSQL is not ready yet. [error]
http.unavailable warning The tree runs without HTTP. [bind error]
audit.recorded info Somebody has acted by hand: by a command, or on the dashboard. \
[actor via act target jobs]
web.login_refused warning So many log-ins to the dashboard have failed that the name must \
pause at its address. [name address failures]
web.failed error A page of the dashboard could not be made. [path error]
configuration.warning warning Something in the configuration is probably a mistake. [warning]

job.enqueued debug A job was enqueued: ready or scheduled. \
[job_id class_name queue_name state created_at]
job.duplicate debug A job with the same unique key exists, so nothing was enqueued. \
[job_id class_name queue_name unique_key]
job.replaced debug A waiting job got the arguments and options of a second enqueue with its \
unique key. \
[job_id class_name queue_name state]
jobs.enqueued debug Jobs were enqueued together. [size]
jobs.duplicate debug Jobs of a bulk were not enqueued, because jobs with the same unique \
keys exist. [size]
jobs.blocked debug A worker blocked jobs whose keys have no free slot. [size]
jobs.unblocked debug Slots are free, so the first jobs of their keys became ready. [size]
jobs.dispatched debug Scheduled jobs were due and became ready. [size]
jobs.claimed debug A worker has claimed a batch of jobs. [size claim_id job_ids]
job.started debug A job begins to run. [$job]
job.finished debug A job has succeeded. [$job duration created_at]
job.failed error A job has failed and is not retried. [$job duration error]
job.retried warning An attempt has failed, and the job will be retried. [$job duration error \
retry_in]
job.discarded info A job was discarded: by its definition, by a conflict, because it expired \
or was cancelled. [$job duration error reason concurrency_key]
job.snoozed debug A job asked to run again later. [$job duration retry_in]
job.set_aside debug A job whose arguments do not fit its function here was scheduled again, \
without an attempt. [$job retry_in]
job.raised error A job raised an exception after it had recorded its own end: it stays \
finished. \
[$job error]
job.slow info A job has started later, or run longer, than `logs.slow_after`. \
[$job waited duration]
job.released info A claimed job became ready again, because its process exits or has exited. \
[$job]
jobs.released debug Jobs that a worker had prefetched became ready again. [size job_ids]
job.blocking warning An asynchronous job blocks the event loop of its process. \
[$job stalled_s stack]
job.interrupted warning A running job was interrupted by an exception: its time limit, or a \
cancel. \
[$job reason]
job.output info A job or a module has logged a text that equals the name of an event. [message]
job.unknown warning The class of a job was not imported here: the jobs of this class wait for \
a worker that knows it. [class_name queue_name]
job.unfit warning The arguments of a job do not fit its function here: such jobs of \
this class are set aside for a worker of another deploy. [class_name queue_name reason]
jobs.counted info The jobs of the tree in one minute; 95 % of them waited no longer than \
`wait_p95` and ran no longer than `run_p95`. A minute without jobs is left out. \
[started finished failed retried discarded released wait_p95 run_p95 seconds]
jobs.retried info Failed jobs were made ready again by hand. [size job_ids]
jobs.discarded info Jobs were discarded by hand, because they expired, or because they may \
not wait for a slot. \
[size job_ids reason]
jobs.cancelled info Jobs were cancelled by hand: those that waited are discarded, those that \
run are being stopped. [size job_ids]
jobs.cleared info Old finished jobs were deleted. [jobs class_name]
queue.paused info A queue was paused: none of its jobs are claimed. [queue_name reason by]
queue.resumed info A paused queue was resumed. [queue_name]
everything.paused info Everything was paused, on all hosts: no job is claimed or dispatched, \
no recurring task is enqueued. [reason by]
everything.resumed info The pause of everything was ended. [catch_up]
queue.cleared info All ready jobs of a queue were discarded. [queue_name size]
claims.lost warning Outcomes were not recorded, because their claims had been taken away. \
[claims]
outcomes.lost error How jobs had ended is lost: the database was away while their process \
ended, and its journal could not be written; or another process had recovered them before the \
journal was read. [process outcomes error]
claims.recovered warning Orphaned claims were settled: their process has no row. \
[process_id $recovered]

recurring.loaded info The recurring tasks were read and stored. [tasks]
recurring.enqueued info A recurring task was enqueued. [task run_at job_id class_name]
recurring.taken debug Another scheduler has enqueued a planned run. [task run_at]
recurring.missed warning Planned runs were missed and are left out. [task runs first last]
recurring.skipped info A run was skipped, because the previous one has not ended. [task run_at]
recurring.discarded info A run was left out: the limit of its job was reached, or a job with \
its unique key exists. [task run_at]
recurring.failed error A recurring task could not be enqueued. [task run_at source error]
recurring.conflict warning Two files define the same recurring task. [task source other wins]
recurring.clock_put_back warning The server's clock was put back: all tasks are planned \
again. \
[seconds]

hook.failed error A hook has raised an exception, or takes too long; nothing else is \
affected. \
[hook function process error]
thread.failed error An uncaught error has ended a thread, or was raised in a job thread \
between two jobs. [thread ours error]
logs.summed info More than twenty lines of an event, job class and error in a second were \
left \
out; this line has their level. --log-jobs logs them all. [of lines since class_name error]
logs.reopened info The log was reopened.
logs.unavailable error The log file can't be opened again: the old one is still written. \
[error]
logs.dropped warning Lines were dropped: the log could not be written for a while. [lines]
"""


def _read(line: str) -> Event:
    name, level, rest = line.split(" ", 2)
    meaning, _, facts = rest.rstrip("]").partition(" [")
    words = " ".join(_SHORT.get(word, word) for word in facts.split())
    return Event(name, cast("Level", level), meaning, tuple(words.split()))


EVENTS = {event.name: event for event in map(_read, filter(None, _TABLE.splitlines()))}
