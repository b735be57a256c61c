"""The journal of a process that ends during an outage: a file of outcomes.

A worker that was asked to stop and can't reach the database writes down each job that has
ended, with its outcome, its result or error, and its claim. All other jobs that it has claimed
are released. If the process was killed, or its tree ends, the monitor adds the facts of the
scoreboard. A monitor of the same host reads the journal before it recovers the process, and
deletes it with the commit that records it.

A line is a checksum and JSON. A damaged line, or one that was only half written, is skipped:
its job counts as not ended, and runs again. The writer holds a lock on the file as long as it
lives: so a journal without a lock belongs to a dead process, whichever container or boot it was
in.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from psycopg import conninfo

from jobsd.database.connection import Target

SIZE_MAX = 64 * 1024 * 1024
"""The maximum bytes of one journal."""

_SUFFIX = ".jsonl"
Record = Mapping[str, Any]


class JournalInUseError(Exception):
    """The process that writes a journal lives."""


class KeptOutcome(NamedTuple):
    """The outcome of one claimed job, as in `Ended`, at a time of this machine's clock."""

    claim_id: int
    job_id: int
    class_name: str
    queue_name: str
    attempt: int
    outcome: str
    ended_at: float
    ran_s: float
    wait_s: float = 0.0
    error: str | None = None
    result: str | None = None
    ttl_s: float | None = None
    reason: str | None = None
    completes: bool = False
    """Whether it counts only if the transaction of `complete()` was rolled back."""
    created_us: int | None = None
    """When the job was created, in microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a journal: its process, its outcomes, and the monitor's addition."""

    path: Path
    process_id: int
    process: str
    outcomes: Sequence[KeptOutcome]
    left: Record | None = None


def journal_folder(root: Path, environ: Mapping[str, str], target: Target) -> Path:
    """Return the folder of a database's journals, which need not exist.

    systemd may name several state directories: the first one counts.
    """
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    below = Path(state) if state else root / "storage"
    name = str(conninfo.conninfo_to_dict(target.url).get("dbname") or "default")
    return below / "outcomes" / _as_file_name(name) / _as_file_name(target.schema)


def journal_path(folder: Path, process: str) -> Path:
    """Return the path of the journal of a process."""
    return folder / f"{process}{_SUFFIX}"


def journal_paths(folder: Path | None) -> list[Path]:
    """Return the journals in a folder."""
    if folder is None:
        return []
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)
    except OSError:
        return []


class Journal:
    """The journal that one process writes."""

    def __init__(self, path: Path) -> None:
        """Write to this path; the file is created with the first record."""
        self._path = path
        self._file: int | None = None
        self._size = 0

    def append(self, records: Iterable[Record]) -> None:
        """Append records, and wait until they are on the disk.

        Raises:
            OSError: if that fails, or the journal would be too large; then it is unchanged.
        """
        lines = b"".join(map(_line, records))
        if self._file is None:
            self._file = self._open()
        if self._size + len(lines) > SIZE_MAX:
            raise OSError(errno.EFBIG, "the journal would be larger than 64 MiB")
        try:
            _write(self._file, lines, self._size)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(lines)

    def discard(self) -> None:
        """Delete the journal, if there is one: the database is about to get its records.

        Raises:
            OSError: if it can't be deleted; it is empty then.
        """
        if self._file is None:
            return
        os.ftruncate(self._file, 0)
        os.close(self._file)
        self._file, self._size = None, 0
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the journal to the monitor that reads it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(self._path, flags, 0o600)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._size = os.fstat(file).st_size
            if self._size:
                # The last line of a killed process may be incomplete.
                self._size += os.pwrite(file, b"\n", self._size)
            _sync_folder(self._path.parent)
        except OSError:
            os.close(file)
            raise
        return file


def read_journal(path: Path) -> Contents | None:
    """Return the contents of a journal, or None if there is none, or it is not ours.

    Raises:
        JournalInUseError: if the process that writes it lives.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(file, "rb") as stream:
        if not _is_ours(os.fstat(file)):
            return None
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise JournalInUseError(str(path)) from None
        return _contents(path, filter(None, map(_record, stream)))


def _is_ours(status: os.stat_result) -> bool:
    """Return whether only our user can have written a file, which decides about jobs."""
    private = not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return stat.S_ISREG(status.st_mode) and private and status.st_uid == os.geteuid()


def _contents(path: Path, records: Iterable[Record]) -> Contents:
    process_id = 0
    left: Record | None = None
    outcomes: dict[tuple[int, int], KeptOutcome] = {}
    for record in records:
        match record:
            case {"process_id": int(found)}:
                process_id = found
            case {"left": dict()}:
                left = record["left"]
            case _:
                if (kept := _outcome(record)) is not None:
                    outcomes[kept.claim_id, kept.job_id] = kept
    return Contents(path, process_id, path.stem, [*outcomes.values()], left)


def _outcome(record: Record) -> KeptOutcome | None:
    """Return the outcome in a record; None if only another version understands it."""
    try:
        return KeptOutcome(**record)
    except TypeError:
        return None


def _line(record: Record) -> bytes:
    text = json.dumps(record).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> Record | None:
    """Return the record of a line, None if the line is damaged."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    record: Record = json.loads(text)
    return record


def _write(file: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, at)
        rest, at = rest[written:], at + written


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _as_file_name(name: str) -> str:
    """Return the name of a database or schema as one of a file: it may hold any character."""
    return quote(name, safe="").replace(".", "%2E")
