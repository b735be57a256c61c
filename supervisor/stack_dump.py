"""The stacks that a process dumps when it crashes in C, or when it hung.

Python writes them from its signal handler, in pieces, and several processes may do so at once;
on the log's descriptor they would mix with each other and with the lines of the log. So each
process has memory of its own for its dump, which outlives it: the supervisor reads it and emits
an event for each thread's stack.
"""

import os
import re
from collections.abc import Iterator

from jobsd.logs.pipes import Pipes

READ_MAX = 1 << 20
_THREAD = re.compile(
    r"^(?:Current t|T)hread (0x[0-9a-f]+)[^\n]*:\n((?:  [^\n]*\n)+)", re.MULTILINE
)


class StackDump:
    """Memory for the stacks of one process; `fd` is None if the system has none.

    With `takes_output` it also has pipes for the process's stdout and stderr.
    """

    def __init__(self, *, takes_output: bool = False) -> None:
        self.pipes = Pipes.make() if takes_output else Pipes()
        try:
            self.fd: int | None = os.memfd_create("jobsd stacks", os.MFD_CLOEXEC)
        except OSError:
            self.fd = None

    @property
    def private(self) -> list[int]:
        """The descriptors that no other process may hold."""
        return [*self.pipes.readers(), *([] if self.fd is None else [self.fd])]

    def stacks(self) -> Iterator[tuple[str, str]]:
        """Yield each thread in the dump with its stack, the latest call first."""
        if self.fd is not None:
            text = os.pread(self.fd, READ_MAX, 0).decode("utf-8", "replace")
            for thread, stack in _THREAD.findall(text):
                yield thread, "\n".join(line.strip() for line in stack.splitlines())

    def close(self) -> None:
        """Free the memory."""
        self.pipes.close()
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
