"""The batches of a bulk."""

from collections.abc import Iterator
from itertools import chain, islice

from jobsd.database.portions import BYTES_MAX
from jobsd.errors import EnqueueError
from jobsd.jobs.draft import Draft
from jobsd.text import byte_size


class Batches:
    """Cuts the jobs of a bulk into batches, each of which is stored by one statement.

    A batch has `most` jobs at most, and 4 MiB of arguments, or one job.
    """

    def __init__(self, jobs: Iterator[Draft], most: int) -> None:
        self._jobs = jobs
        self._most = most
        self._held: list[Draft] = []
        """The job that did not fit into the batch before."""
        self.is_full = False
        """Whether the last batch has all that it may have, so that more may follow."""

    def draw(self, *, undecided: bool = True) -> Iterator[Draft]:
        """Yield the jobs of the next batch; unless `undecided`, it ends before such a job.

        Raises:
            EnqueueError: if an item is not a job.
        """
        self.is_full = False
        size = 0
        for count, job in enumerate(islice(chain(self._taken(), self._jobs), self._most)):
            size += byte_size(checked(job).arguments)
            if (count and size > BYTES_MAX) or (job.is_undecided and not undecided):
                self._held.append(job)
                self.is_full = True
                return
            yield job
            self.is_full = count + 1 == self._most

    def _taken(self) -> Iterator[Draft]:
        """Yield the job that was held back, if there is one."""
        while self._held:
            yield self._held.pop()


def checked(job: Draft) -> Draft:
    """Return the job if it is a draft.

    Raises:
        EnqueueError: if it is not a draft.
    """
    if not isinstance(job, Draft):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise EnqueueError(f"{job!r} is not a job with arguments: write job.with_args(…)")
    return job
