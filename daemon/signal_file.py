"""Turns signals into records of a file descriptor, so that one `select` waits for all.

A record says more than a handler is given: whether the terminal has sent the signal. Then every
process of the foreground group has it already, and to pass it on would send it twice.
"""

import ctypes
import os
import signal
import struct
from collections.abc import Collection
from typing import NamedTuple

_RECORD_BYTES = 128
_HEAD = struct.Struct("@Iii")
_OF_THE_KERNEL = 0x80
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_SET_BYTES = 128

_libc = ctypes.CDLL(None, use_errno=True)


class Received(NamedTuple):
    """A signal that has come; `by_terminal` when a key or a hang-up has made it."""

    number: signal.Signals
    by_terminal: bool


class SignalFile:
    """Blocks these signals in the process, for good, and reads them instead.

    A program that is started must unblock them: a mask survives exec.
    """

    def __init__(self, numbers: Collection[signal.Signals]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        mask = ctypes.create_string_buffer(_SET_BYTES)
        for number in numbers:
            at, bit = divmod(number - 1, 8)
            mask[at] = bytes([mask.raw[at] | 1 << bit])
        self._fd: int = _libc.signalfd(-1, mask, _NONBLOCK_CLOEXEC)
        if self._fd < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def fileno(self) -> int:
        """Return the descriptor, which is readable when a signal has come."""
        return self._fd

    def take(self) -> list[Received]:
        """Return the signals that have come since the last call. Never waits."""
        try:
            records = os.read(self._fd, 64 * _RECORD_BYTES)
        except BlockingIOError:
            return []
        heads = (_HEAD.unpack_from(records, at) for at in range(0, len(records), _RECORD_BYTES))
        return [
            Received(signal.Signals(number), code == _OF_THE_KERNEL)
            for number, _, code in heads
        ]
