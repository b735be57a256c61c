"""Every statement that carries lists or texts has a bound.

The author of a statement adds a row. What may be large is sent in portions of 4 MiB
(`jobsd.database.portions`); the rest comes to less by the number of values and their limits.
"""

from __future__ import annotations

import re

from harness.all_statements import all_statements

PORTION = "4 MiB of values in one portion, or one value (1 MiB)"
JOB = "one job: 1 MiB of arguments"
BULK = "one batch of a bulk: 2000 jobs, of 4 MiB of arguments at most"
CLAIMED = "numbers of what a worker has claimed: 1000 jobs of each kind"
NUMBERS = "10,000 numbers"
BATCH = "500 jobs of an act"
NAMES = "names of queues that one survey brings, 255 bytes each"
CLASSES = "names of the classes that a program defines"
ONE = "facts of one row"
REQUEST = "the words of one request"
FILE = "a file of recurring.yml: 1 MiB"
RUNS = "1000 instants of recurring tasks and their keys"
PROCESSES = "numbers of the processes of a cluster"
ENTRY = "what one scoreboard entry remembers: 2048 jobs"
FIXED = "words of ours"
QUEUES = "figures of 10,000 queues and classes"

BOUNDS = {
    "acts/cancels.cancel": BATCH,
    "acts/cancels.open": BATCH,
    "acts/cancels.mark_cancelled": BATCH,
    "acts/discards.discard": BATCH,
    "acts/expirations.ended": BATCH,
    "acts/expirations.settle": BATCH,
    "acts/holders.held": "the ids of a command, 500 a statement",
    "acts/inspect.elsewhere": NAMES,
    "acts/listing.rows": FIXED,
    "acts/listing.search": REQUEST,
    "acts/moves.move": BATCH,
    "acts/moves.run": BATCH,
    "acts/retention.clear": REQUEST,
    "acts/retention.clearable": REQUEST,
    "acts/retries.retry": BATCH,
    "daemon/doctor.settings": FIXED,
    "database/schema_locks.holders": FIXED,
    "database/schema_locks.present": FIXED,
    "enqueueing/bulk.copy": BULK,
    "enqueueing/bulk.wake": PORTION,
    "enqueueing/completion.complete": "one result: 1 MiB",
    "enqueueing/completion.completed": CLAIMED,
    "enqueueing/completion.free": CLAIMED,
    "enqueueing/enqueue.at_once": JOB,
    "enqueueing/enqueue.store": PORTION,
    "enqueueing/submission.submit": PORTION,
    "heartbeat/log.select": REQUEST,
    "jobs/limits.hand_over": "keys of what a worker has claimed, 1000 bytes each",
    "jobs/progress.read": NUMBERS,
    "jobs/progress.write": "the reports of 500 jobs, 7 kB each",
    "jobs/published.publish": CLASSES,
    "jobs/published.withdraw": CLASSES,
    "operations/failures.groups": REQUEST,
    "operations/failures.retrying": REQUEST,
    "operations/gauges.busy": PROCESSES,
    "operations/health.running": PROCESSES,
    "operations/history.hours": REQUEST,
    "operations/history.minutes": REQUEST,
    "operations/named.oldest": REQUEST,
    "operations/restore.again": "1000 jobs that a log names",
    "processes/registry.register": ONE,
    "recurring/runs.history": RUNS,
    "recurring/runs.lock_tasks": RUNS,
    "recurring/runs.record_discards": RUNS,
    "recurring/runs.store": PORTION,
    "recurring/runs.stored_by": RUNS,
    "recurring/tasks.add": JOB,
    "recurring/tasks.change": JOB,
    "recurring/tasks.store_static": FILE,
    "states/blocking.block": "keys and queues of 1000 claims, 1000 bytes each",
    "states/claims.conclude": PORTION,
    "states/claims.locked": CLAIMED,
    "states/claims.record": CLAIMED,
    "states/few.take_first": NAMES,
    "states/few.take_first_named": NAMES,
    "states/kept_logs.sweep": "the jobs of one portion of logs",
    "states/kept_logs.write": PORTION,
    "states/lost.drop": NUMBERS,
    "states/lost.free": NUMBERS,
    "states/lost.lock": NUMBERS,
    "states/lost.ready": NUMBERS,
    "states/lost.some": NUMBERS,
    "states/meeting.meet_any": NAMES,
    "states/meeting.meet_named": NAMES,
    "states/parked.last": CLAIMED,
    "states/parked.note": NAMES,
    "states/parked.publish": CLASSES,
    "states/parked.set_aside": CLASSES,
    "states/parked.unknown_to": PROCESSES,
    "states/ready.pick_any": NAMES,
    "states/ready.pick_each": NAMES,
    "states/ready.pick_named": NAMES,
    "states/ready.pick_parked": "100 lanes",
    "states/ready.survey": NAMES,
    "states/reconciliation.recorded": CLAIMED,
    "states/results.deregister": NUMBERS,
    "states/results.ends": NUMBERS,
    "states/results.keep": PORTION,
    "states/results.register": NUMBERS,
    "states/results.values": "10,000 numbers; the answer is one portion",
    "states/series.claim": "keys and queues of 1000 claims, 1000 bytes each",
    "states/series.keys": "keys of 1000 claims, 1000 bytes each",
    "supervisor/arrivals.store": QUEUES,
    "supervisor/claims.recover": ENTRY,
    "supervisor/emptiness.is_left": "the queues of a configuration",
    "supervisor/forced.forced": PROCESSES,
    "supervisor/history.add": QUEUES,
    "supervisor/journals.held": "the claims of one portion of a journal",
    "supervisor/journals.present": "numbers of the jobs of one journal",
    "supervisor/monitor.leave": PROCESSES,
    "supervisor/monitor.survey": PROCESSES,
}

_LIST_OR_TEXT = re.compile(r"%\(\w+\)s::(?:\w+\[\]|(?:text|jsonb?)\b)|^COPY\b", re.MULTILINE)


def test_every_statement_with_lists_or_texts_has_a_bound() -> None:
    carrying = {name for name, text in all_statements() if _LIST_OR_TEXT.search(text)}

    assert carrying - BOUNDS.keys() == set(), "without a row"
    assert BOUNDS.keys() - carrying == set(), "without a statement"
