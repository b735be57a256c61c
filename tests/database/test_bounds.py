"""Every statement that carries lists or texts has a bound.

The author of a statement adds a row. What may be large is sent in portions of 4 MiB
(`jobsd.database.portions`); the rest comes to less by the number of values and their limits.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.database.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    "daemon/doctor.settings": FIXED,
    "database/schema_locks.holders": FIXED,
    "database/schema_locks.present": FIXED,
    "heartbeat/log.select": REQUEST,
    "jobs/bulk.admit": BULK,
    "jobs/bulk.admit_unique": BULK,
    "jobs/bulk.copy": BULK,
    "jobs/bulk.forget_unique": BULK,
    "jobs/bulk.insert": PORTION,
    "jobs/bulk.wake": PORTION,
    "jobs/cancels.cancel": BATCH,
    "jobs/cancels.open": BATCH,
    "jobs/cancels.say": BATCH,
    "jobs/claims.conclude": PORTION,
    "jobs/claims.locked": CLAIMED,
    "jobs/claims.record": CLAIMED,
    "jobs/claims.singles": CLAIMED,
    "jobs/completion.complete": "one result: 1 MiB",
    "jobs/completion.completed": CLAIMED,
    "jobs/completion.free": CLAIMED,
    "jobs/discards.discard": BATCH,
    "jobs/enqueue.at_once": JOB,
    "jobs/enqueue.decided": JOB,
    "jobs/enqueue.later": JOB,
    "jobs/enqueue.limited": JOB,
    "jobs/enqueue.unique": JOB,
    "jobs/enqueue.unique_at_once": JOB,
    "jobs/expirations.ended": BATCH,
    "jobs/expirations.settle": BATCH,
    "jobs/failed.retake": BATCH,
    "jobs/failed.retry": BATCH,
    "jobs/inspect.elsewhere": NAMES,
    "jobs/kept_logs.sweep": "the jobs of one portion of logs",
    "jobs/kept_logs.write": PORTION,
    "jobs/kinds.pick_kind": NAMES,
    "jobs/lanes.knowers": PROCESSES,
    "jobs/lanes.note": NAMES,
    "jobs/lanes.publish": CLASSES,
    "jobs/lanes.repeatable": CLAIMED,
    "jobs/limits.hand_over": "keys of what a worker has claimed, 1000 bytes each",
    "jobs/listing.rows": FIXED,
    "jobs/listing.search": REQUEST,
    "jobs/lost.drop": NUMBERS,
    "jobs/lost.forget": NUMBERS,
    "jobs/lost.lock": NUMBERS,
    "jobs/lost.note": NUMBERS,
    "jobs/lost.ready": NUMBERS,
    "jobs/lost.some": NUMBERS,
    "jobs/meeting.as_they_come": FIXED,
    "jobs/meeting.meet_any": NAMES,
    "jobs/meeting.meet_kind": NAMES,
    "jobs/meeting.meet_named": NAMES,
    "jobs/moves.move": BATCH,
    "jobs/moves.run": BATCH,
    "jobs/progress.write": "the reports of 500 jobs, 7 kB each",
    "jobs/published.publish": CLASSES,
    "jobs/ready.pick_any": NAMES,
    "jobs/ready.pick_each": NAMES,
    "jobs/ready.pick_lanes": NAMES,
    "jobs/ready.pick_named": NAMES,
    "jobs/ready.survey": NAMES,
    "jobs/reconciliation.recorded": CLAIMED,
    "jobs/results.deregister": NUMBERS,
    "jobs/results.ends": NUMBERS,
    "jobs/results.keep": PORTION,
    "jobs/results.register": NUMBERS,
    "jobs/results.values": "10,000 numbers; the answer is one portion",
    "jobs/retention.clear": REQUEST,
    "jobs/retention.clearable": REQUEST,
    "jobs/series.claim": "keys and queues of 1000 claims, 1000 bytes each",
    "jobs/submission.submit": PORTION,
    "operations/gauges.busy": PROCESSES,
    "operations/history.hours": REQUEST,
    "operations/history.minutes": REQUEST,
    "processes/registry.register": ONE,
    "recurring/runs.history": RUNS,
    "recurring/runs.lock_tasks": RUNS,
    "recurring/runs.record_discards": RUNS,
    "recurring/runs.store": PORTION,
    "recurring/runs.stored_by": RUNS,
    "recurring/tasks.add": JOB,
    "recurring/tasks.change": JOB,
    "recurring/tasks.store_static": FILE,
    "supervisor/arrivals.store": QUEUES,
    "supervisor/claims.recover": ENTRY,
    "supervisor/emptiness.is_left": "the queues of a configuration",
    "supervisor/forced.forced": PROCESSES,
    "supervisor/history.add": QUEUES,
    "supervisor/journals.held": "the claims of one portion of a journal",
    "supervisor/monitor.leave": PROCESSES,
    "supervisor/monitor.survey": PROCESSES,
}

_LIST_OR_TEXT = re.compile(r"%\(\w+\)s::(?:\w+\[\]|(?:text|jsonb?)\b)|^COPY\b", re.MULTILINE)


def test_every_statement_with_lists_or_texts_has_a_bound() -> None:
    carrying = {name for name, text in _statements() if _LIST_OR_TEXT.search(text)}

    assert carrying - BOUNDS.keys() == set(), "without a row"
    assert BOUNDS.keys() - carrying == set(), "without a statement"


def _statements() -> Iterator[tuple[str, str]]:
    source = Path(str(files("jobsd")))
    for room in sorted(each for each in source.iterdir() if each.is_dir()):
        top = room.resolve()
        for path in sorted(top.rglob("*.sql")):
            if "migrations" not in path.parts:
                below = path.parent.relative_to(top).parts
                for statement in Statements(".".join(("jobsd", room.name, *below)), path.name):
                    yield f"{room.name}/{path.stem}.{statement.name}", statement.text
