"""Which queues are measured, and how each is run: by the fastest way that its manual describes.

An adapter (adapters/) is a program in the peer's own language and environment. It makes the
peer's tables, enqueues, and runs the peer's worker; what it measures and notes is the same for
all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

SIZE = (3_000, 6_000, 10_000)
"""How many jobs are drained with 1 x 1, 1 x 3 and 2 x 5 processes x threads, unless said."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One queue: what it needs, how it is driven, and which settings it gets.

    `waiting` counts its jobs that have not ended; without it (a broker) the last start counts.
    `forks` says that one program starts all of its worker processes. One that does not `run`
    jobs is no queue: it shows what storing them costs, and is never the best of a column.
    """

    name: str
    adapter: str
    runtime: str
    packages: tuple[str, ...]
    settings: str
    waiting: str = ""
    forks: bool = False
    runs: bool = True
    bulk: bool = True
    redis: bool = False
    coroutines: bool = False
    """Whether its adapter can run jobs as coroutines, many at once: `on_loop` there."""
    sizes: tuple[int, int, int] = SIZE
    gap_s: float = 0.02
    """Between two jobs whose latency is measured: longer where a queue looks more seldom."""


OURS = Peer(
    "jobsd",
    "for_jobsd.py",
    "ours",
    ("jobsd",),
    "as shipped",
    "SELECT (SELECT count(*) FROM jobsd.all_ready_executions)"
    " + (SELECT count(*) FROM jobsd.claims)",
    forks=True,
    coroutines=True,
    sizes=(60_000, 60_000, 100_000),
)

DRIVER = Peer(
    "the driver alone",
    "for_the_driver.py",
    "ours",
    ("psycopg",),
    "INSERT, and COPY in bulk, into the two tables of jobsd",
    runs=False,
)

PEERS = (
    OURS,
    DRIVER,
    Peer(
        "graphile-worker",
        "for_graphile_worker.mjs",
        "node",
        ("graphile-worker", "pg"),
        "concurrentJobs T, localQueue of 500, batched completion",
        "SELECT count(*) FROM graphile_worker._private_jobs",
        sizes=(20_000, 40_000, 40_000),
    ),
    Peer(
        "pg-boss",
        "for_pg_boss.mjs",
        "node",
        ("pg-boss", "pg"),
        "batchSize 500, burstWhenBatchFull, notify",
        "SELECT count(*) FROM pgboss.job"
        " WHERE name = 'noop' AND state IN ('created', 'active')",
        sizes=(20_000, 20_000, 20_000),
    ),
    Peer(
        "pgqueuer",
        "for_pgqueuer.py",
        "python3.11",
        ("pgqueuer", "asyncpg"),
        "asyncpg, coroutines, its default batch of 10 and no bound on tasks; 500 at once:"
        " batches of 250",
        "SELECT count(*) FROM pgqueuer",
        coroutines=True,
        sizes=(10_000, 10_000, 10_000),
    ),
    Peer(
        "awa",
        "for_awa.py",
        "python3.11",
        ("awa-pg",),
        "coroutines, T workers of the queue",
        "SELECT count(*) FROM awa.jobs WHERE state IN ('available', 'running')",
        sizes=(5_000, 10_000, 20_000),
    ),
    Peer(
        "oban-py",
        "for_oban.py",
        "python3.12",
        ("oban", "psycopg[binary,pool]"),
        "coroutines, a queue of T",
        "SELECT count(*) FROM oban_jobs WHERE state IN ('available', 'executing')",
    ),
    Peer(
        "chancy",
        "for_chancy.py",
        "python3.11",
        ("chancy",),
        "threads, or AsyncExecutor for 500 coroutines; eager_polling, polling_interval 1",
        "SELECT count(*) FROM chancy_jobs WHERE state IN ('pending', 'running')",
        coroutines=True,
    ),
    Peer(
        "procrastinate",
        "for_procrastinate.py",
        "python3.11",
        ("procrastinate", "psycopg[binary,pool]"),
        "coroutines, concurrency T",
        "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
        coroutines=True,
        sizes=(1_500, 2_500, 3_000),
    ),
    Peer(
        "Solid Queue",
        "for_solid_queue.rb",
        "ruby",
        ("solid_queue", "pg"),
        "one dispatcher, workers that poll every 0.1 s",
        "SELECT (SELECT count(*) FROM solid_queue_ready_executions)"
        " + (SELECT count(*) FROM solid_queue_claimed_executions)",
        forks=True,
        sizes=(500, 500, 1_500),
        gap_s=0.05,
    ),
    Peer(
        "Celery on Redis",
        "for_celery.py",
        "python3.11",
        ("celery[redis]",),
        "threads pool, results ignored; Redis with appendonly yes",
        bulk=False,
        redis=True,
        sizes=(3_000, 3_000, 5_000),
    ),
    Peer(
        "Dramatiq on Redis",
        "for_dramatiq.py",
        "python3.11",
        ("dramatiq[redis]",),
        "-p P -t T; Redis with appendonly yes",
        forks=True,
        bulk=False,
        redis=True,
        sizes=(1_000, 2_000, 5_000),
    ),
)
