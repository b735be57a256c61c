"""The two things that only prctl(2) can do for a tree of processes. Linux only."""

import ctypes

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None)


def die_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when the *thread* that forked it ends.

    If the parent has already ended, no signal comes: check `os.getppid` afterwards.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant that its own parent leaves orphaned."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
