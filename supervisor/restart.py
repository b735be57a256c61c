"""The restart on request: the tree stops in order, and its supervisor executes itself again.

The process id stays: a service manager, a container and a pidfile keep the process they know.
Unlike a reload, a restart takes a new version of this program and of Python, and it has a gap:
jobs wait from the stop until the tree is up again.
"""

from collections.abc import Callable

from jobsd import errors
from jobsd.configuration.faults import report

from .children import EXIT_CONFIGURATION
from .requests import Requester

EXIT_FAILED = 1


class Restart:
    """The restart that is requested, and the commands that wait until the tree is ready.

    `read` reads the configuration, and raises an error that leaves the tree as it is.
    """

    def __init__(self, read: Callable[[], object]) -> None:
        self._read = read
        self._waiting: list[Requester] = []
        self.wanted = False
        """Whether the supervisor is executed again once the tree has ended."""

    def request(self, requester: Requester) -> bool:
        """Answer a request; return whether the tree is to stop for a restart."""
        try:
            self._read()
        except errors.ConfigurationError as error:
            requester.answer(EXIT_CONFIGURATION, report(error.faults))
            return False
        self.wanted = True
        requester.answer(0)
        return True

    def wait(self, requester: Requester) -> None:
        """Answer a command once the tree is ready."""
        self._waiting.append(requester)

    def answer(self, *, ready: bool, stopping: bool) -> None:
        """Answer the commands that wait, if the tree is ready or stops."""
        if not (ready or stopping):
            return
        for requester in self._waiting:
            if stopping:
                requester.answer(EXIT_FAILED, "error: the supervisor is stopping")
            else:
                requester.answer(0)
        self._waiting = []
