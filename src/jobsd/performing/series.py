"""A series as the pool has it: jobs that hold one slot, for one thread, one after the other."""

from collections import deque
from collections.abc import Collection, Iterable

from jobsd.jobs.claimed_job import ClaimedJob

Waiting = tuple[ClaimedJob, float]
"""A job to start, and when it was ours for certain (monotonic)."""


class Series:
    """What of one claim waits to be started.

    The control thread adds and takes back, the thread that has begun it takes from its head;
    each by one call of the deque. Invariant: a thread closes it under the pool's lock when it
    finds nothing more, and to a closed one nothing is added: so two threads never have it.
    """

    __slots__ = ("claim_id", "closed", "doubted", "key", "low", "most", "thread", "waiting")

    def __init__(self, jobs: Iterable[Waiting], key: str, most: int) -> None:
        self.waiting: deque[Waiting] = deque(jobs)
        self.claim_id = self.waiting[0][0].claim_id
        self.key = key
        self.most = most
        """How many of its key may run at once, as its jobs say."""
        self.low = len(self.waiting) // 2 if most == 1 else len(self.waiting) * 3 // 4
        """The control thread is woken when not more than so many wait.

        Of a key with several slots, the next jobs are a series of another slot: if they are
        claimed sooner, they are no fewer, as they are where they prolong this one.
        """
        self.thread: int | None = None
        """Which thread has begun it."""
        self.closed = False
        self.doubted = False
        """Whether one of its jobs had to be doubted: then nothing behind it starts before."""

    @property
    def has_ended(self) -> bool:
        """Whether its thread has found its end.

        Invariant: one with jobs in doubt has not ended: it keeps these from starting at once.
        """
        return self.closed and not self.doubted

    @property
    def is_low(self) -> bool:
        """Whether not more wait than those at which the control thread is woken."""
        return len(self.waiting) <= self.low

    def runs_out(self, queued: int) -> bool:
        """Whether its thread will soon have nothing to do, where so much is for any thread."""
        return not self.waiting or (self.is_low and not queued)

    def take_all(self) -> list[Waiting]:
        """Take back what was not started, while a thread may take, too."""
        taken: list[Waiting] = []
        while True:
            try:
                taken.append(self.waiting.popleft())
            except IndexError:
                return taken

    def take_undoubted(self) -> list[Waiting]:
        """Take back what was not started, which is in doubt no more; under the pool's lock."""
        taken = self.take_all()
        self.doubted = False
        return taken

    def take_behind(self, keep: int) -> list[Waiting]:
        """Take back all but the first so many, the last one first."""
        taken: list[Waiting] = []
        while len(self.waiting) > keep:
            try:
                taken.append(self.waiting.pop())
            except IndexError:
                break
        return taken

    def sift(self, meant: Collection[tuple[int, int]], out: list[ClaimedJob]) -> bool:
        """Move some jobs out of a series that nobody has; return whether any is left."""
        self.waiting = deque(sift(self.waiting, meant, out))
        return bool(self.waiting)


def sift(
    waiting: Iterable[Waiting], meant: Collection[tuple[int, int]], out: list[ClaimedJob]
) -> list[Waiting]:
    """Move some jobs, named by id and claim, to `out`; return the others."""
    left: list[Waiting] = []
    for each in waiting:
        job = each[0]
        if (job.id, job.claim_id) in meant:
            out.append(job)
        else:
            left.append(each)
    return left


def first_job(item: Waiting | Series) -> ClaimedJob:
    """Return the job that starts first of what the pool has in its queue."""
    return item.waiting[0][0] if isinstance(item, Series) else item[0]
