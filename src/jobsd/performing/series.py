"""A series in the pool: jobs that hold one slot, run by one thread, one after the other."""

from collections import deque
from collections.abc import Collection, Iterable

from jobsd.jobs.claimed_job import ClaimedJob

Waiting = tuple[ClaimedJob, float]
"""A job to start, and the latest time at which it was certainly ours (monotonic)."""


class Series:
    """The jobs of one claim that wait to be started.

    The control thread adds and takes back jobs, the thread that has begun the series takes from
    its head; each by one call of the deque. Invariant: a thread closes the series under the
    pool's lock when it finds it empty, and a closed series gets no more jobs: so two threads
    never have it.
    """

    __slots__ = ("claim_id", "closed", "doubted", "key", "low", "most", "thread", "waiting")

    def __init__(self, jobs: Iterable[Waiting], key: str, most: int) -> None:
        self.waiting: deque[Waiting] = deque(jobs)
        self.claim_id = self.waiting[0][0].claim_id
        self.key = key
        self.most = most
        """How many jobs of its key may run at once, according to the jobs."""
        self.low = len(self.waiting) // 2 if most == 1 else len(self.waiting) * 3 // 4
        """The control thread is woken when at most this number of jobs wait.

        If a key has several slots, its next jobs form a series of another slot, so claiming
        them sooner makes that series no shorter. With one slot they prolong this series."""
        self.thread: int | None = None
        """The thread that has begun it."""
        self.closed = False
        self.doubted = False
        """Whether a job of it is in doubt: then no later job of it starts before the check."""

    @property
    def has_ended(self) -> bool:
        """Whether its thread has closed it.

        Invariant: a series with jobs in doubt has not ended: its later jobs don't start at
        once.
        """
        return self.closed and not self.doubted

    @property
    def is_low(self) -> bool:
        """Whether no more jobs wait than `low`, at which the control thread is woken."""
        return len(self.waiting) <= self.low

    def runs_out(self, queued: int) -> bool:
        """Whether its thread will soon be idle; `queued` items wait for any thread."""
        return not self.waiting or (self.is_low and not queued)

    def take_all(self) -> list[Waiting]:
        """Take back waiting jobs; its thread may take some meanwhile."""
        taken: list[Waiting] = []
        while True:
            try:
                taken.append(self.waiting.popleft())
            except IndexError:
                return taken

    def take_undoubted(self) -> list[Waiting]:
        """Take back waiting jobs and end the doubt; under the pool's lock."""
        taken = self.take_all()
        self.doubted = False
        return taken

    def take_behind(self, keep: int) -> list[Waiting]:
        """Take back all but the first `keep` jobs, the last one first."""
        taken: list[Waiting] = []
        while len(self.waiting) > keep:
            try:
                taken.append(self.waiting.pop())
            except IndexError:
                break
        return taken

    def sift(self, meant: Collection[tuple[int, int]], out: list[ClaimedJob]) -> bool:
        """Move the given jobs out of a series without a thread; return whether any is left."""
        self.waiting = deque(sift(self.waiting, meant, out))
        return bool(self.waiting)


def sift(
    waiting: Iterable[Waiting], meant: Collection[tuple[int, int]], out: list[ClaimedJob]
) -> list[Waiting]:
    """Move the given jobs, by id and claim, to `out`; return the others."""
    left: list[Waiting] = []
    for each in waiting:
        job = each[0]
        if (job.id, job.claim_id) in meant:
            out.append(job)
        else:
            left.append(each)
    return left


def first_job(item: Waiting | Series) -> ClaimedJob:
    """Return the first job of an item of the pool's queue."""
    return item.waiting[0][0] if isinstance(item, Series) else item[0]
