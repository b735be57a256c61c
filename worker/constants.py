"""The times and sizes of a worker: each stands here once, with its reason.

Tests hold that no other module of a worker has a number of its own.
"""

from jobsd.scoreboard.running_jobs import ENDED_MAX

POLL_MIN_S = 0.001
"""The first pause after a claim came back short. A commit on a busy machine takes as long, so a
sweep of the index that takes no longer is not costly.
"""
SOON_S = 0.005
"""The first pause of a search for limited jobs, and of a request of a job that waits for its
turn. A claim that took longer, as on a busy machine, makes no sweep cheap.
"""
FLUSH_S = 0.01
"""An outcome waits at most this long to be recorded together with others."""
HORIZON_S = 0.02
"""Jobs are claimed ahead for about this long. A claim that takes longer may have passed over
many jobs of paused queues. A cancelled job that is about to begin or to end is met again then.
"""
STEADY_S = 0.05
"""The time for which jobs must have looked late. With more processes than processors, a thread
waits for one amid a short job: so 16 processes on two cores released 4 % of their jobs.
"""
PATIENCE_S = 0.1
"""A claimed job that can't start within this time is released. The first pause between two
queries for locked rows.
"""
AWAKE_S = 0.25
"""Once claims have come back full for this long, the worker needs no notifications. Without
them names of queues are believed for as long, and limited jobs are searched as often. The pause
before the transaction of a job that has returned is read again.
"""
CHECK_S = 0.8
"""The longest pause between two queries for locked rows, for many jobs of paused queues, and,
without notifications, for cancelled jobs.
"""
POLL_MAX_S = 5.0
"""The longest pause between two claims, two sweeps of the index, two searches for limited jobs
and two surveys of lanes with jobs, in case a notification is lost.
"""
RECONCILE_S = 10.0
"""How often the claims are read back while they are uncertain."""
SURVEY_RARELY_S = 300.0
"""The pause between two surveys of lanes while there are none and notifications come."""

SHARE = 9.0
"""The pause after work beside claims, in multiples of its duration: a tenth of the time."""
HEAD_SHARE = 4.0
"""The pause after a claim of the head before very many priorities, likewise."""
BUSY_SHARE = 60.0
"""The pause after a busy worker has cleared a part of a gap, likewise."""

WEIGHT = 0.3
"""The weight of the run time of the last job in the mean of recent ones."""

FEW = 4
"""Jobs that are claimed whole, however large they are, and counted one by one."""
MANY = 50
"""Of this number of jobs at once some end at any time, though each is long."""
BREADTH = 100
"""What one claim searches or remembers at most: priorities of a queue, queues of a list, lanes,
and jobs that are blocked behind it.
"""
WIDER = 4
"""After a claim that came back short, it asks for four times as many queues of a list."""
BATCH_MAX = 500
"""Jobs that one statement claims, or meets in its search for limited ones."""
CLAIMED_MAX = 2 * BATCH_MAX
"""Two batches: one runs while the next is claimed. Fewer than an entry's ring of ended jobs
holds. In the background as many jobs are blocked by one statement.
"""
LOCKED_MAX = min(CLAIMED_MAX, ENDED_MAX // 2 - 12)
"""Jobs that are claimed at most while some wait for a locked row: the scoreboard entry keeps
their outcomes while as many more jobs end, and then they are written into it again.
"""
SET_ASIDE_MAX = 5000
"""Unknown jobs that one statement sets aside, in less than a tenth of a second."""
SEARCH_MAX = 20_000
"""Jobs that one statement meets after statements that met no limited job for us."""
BYTES_MAX = 2**21
"""Arguments of a claim beyond this don't come along; half of it is desired. They are measured
as they are stored, compressed.
"""
