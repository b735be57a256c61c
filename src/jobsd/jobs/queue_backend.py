"""The queue as a definition, a draft and the current job reach it: enqueue, wait, complete.

`jobsd.enqueueing` registers itself here when it is imported, since it loads the driver, and a
program that only defines jobs needs none. The drafts, handles and current jobs are of modules
that import this one: their types are not named here.
"""

# ruff: noqa: ANN401

from contextlib import AbstractContextManager
from typing import Any, Protocol

from jobsd.errors import Error


class QueueBackend(Protocol):
    """Stores jobs, waits for their ends, and completes the running job."""

    def enqueue(self, drafted: Any, connection: object) -> Any:
        """Store one job: committed when this returns, or in the connection's transaction."""
        ...

    async def aenqueue(self, drafted: Any, connection: object) -> Any:
        """Do what `enqueue` does, without blocking the event loop."""
        ...

    def enqueue_after_commit(self, drafted: Any, transaction_of: object) -> Any:
        """Store one job once the transaction of a connection has committed."""
        ...

    async def aenqueue_after_commit(self, drafted: Any, transaction_of: object) -> Any:
        """Do what `enqueue_after_commit` does, without blocking the event loop."""
        ...

    def wait(self, job: Any, timeout: Any) -> str:
        """Wait until a job has ended; return its state."""
        ...

    def result(self, job: Any, timeout: Any) -> Any:
        """Wait until a job has ended; return its result."""
        ...

    async def aresult(self, job: Any, timeout: Any) -> Any:  # noqa: ASYNC109
        """Do what `result` does, without blocking the event loop."""
        ...

    def aprogress(self, job: Any) -> Any:
        """Yield the progress of a job until it has ended."""
        ...

    def complete(self, job: Any, connection: object, result: object) -> None:
        """Record in the transaction of a connection that the running job has succeeded."""
        ...

    def completing(
        self, job: Any, connection: object, result: object
    ) -> AbstractContextManager[None]:
        """Return a block at the end of which the running job completes."""
        ...


_registered: QueueBackend | None = None


def register(backend: QueueBackend) -> None:
    """Let jobs of this program reach the queue by this backend."""
    global _registered  # noqa: PLW0603 - the program's one
    _registered = backend


def backend() -> QueueBackend:
    """Return the backend that was registered.

    Raises:
        Error: when `jobsd.enqueueing` was not imported: only a part of jobsd was.
    """
    if _registered is None:
        raise Error("no queue is registered: import jobs from jobsd itself, not from its parts")
    return _registered
