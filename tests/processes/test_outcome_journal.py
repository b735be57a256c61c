"""The journal of a process that ends while the database is away: a file."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.database.connection import Target
from jobsd.processes import outcome_journal
from jobsd.processes.outcome_journal import (
    Journal,
    JournalInUseError,
    KeptOutcome,
    journal_folder,
    journal_path,
    journal_paths,
    read_journal,
)

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = {"process_id": 7}


def _kept(job_id: int, **more: object) -> KeptOutcome:
    made = KeptOutcome(40 + job_id, job_id, "app.job", "default", 1, "finished", 1e9, 0.25)
    return made._replace(**more)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def _written(path: Path, *kept: KeptOutcome) -> None:
    journal = Journal(path)
    journal.append([BEGIN, *(each._asdict() for each in kept)])
    journal.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_path(tmp_path / "some/folder", "worker-1")


def test_written_outcomes_are_read_back(path: Path) -> None:
    kept = _kept(
        1, outcome="failed", error='{"type": "ä"}', result="[1]", ttl_s=3.0, reason="x"
    )

    _written(path, kept, _kept(2))

    found = read_journal(path)
    assert found is not None
    assert (found.process_id, found.process, found.left) == (7, "worker-1", None)
    assert found.outcomes == [kept, _kept(2)]
    assert journal_paths(path.parent) == [path]


def test_only_its_user_can_read_it_whatever_the_mask(path: Path) -> None:
    before = os.umask(0)
    try:
        _written(path, _kept(1))
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_outcome_of_a_job_in_its_claim_counts(path: Path) -> None:
    _written(path, _kept(1), _kept(1, outcome="failed"))

    found = read_journal(path)

    assert found is not None
    assert [each.outcome for each in found.outcomes] == ["failed"]


@given(st.data())
def test_damage_costs_the_damaged_lines_only(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = journal_path(tmp_path_factory.mktemp("damaged"), "worker-1")
    _written(path, *map(_kept, range(5)))
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(raw)))
    path.write_bytes(raw[:cut])

    found = read_journal(path)

    assert found is not None
    # A line that becomes two, or two that become one, are two damaged ones at most.
    whole = bytes(raw[:cut]).count(b"\n")
    assert len(found.outcomes) >= whole - 3
    assert {*found.outcomes} <= {*map(_kept, range(5))}


def test_what_follows_half_a_line_is_read(path: Path) -> None:
    _written(path, _kept(1))
    with path.open("ab") as torn:
        torn.write(b"0000")

    journal = Journal(path)
    journal.append([_kept(2)._asdict()])
    journal.close()

    found = read_journal(path)
    assert found is not None
    assert found.outcomes == [_kept(1), _kept(2)]


def test_a_journal_that_is_discarded_is_gone_and_can_be_begun_again(path: Path) -> None:
    journal = Journal(path)
    journal.append([BEGIN, _kept(1)._asdict()])
    journal.discard()
    assert not path.exists()

    journal.append([BEGIN, _kept(2)._asdict()])
    journal.close()

    found = read_journal(path)
    assert found is not None
    assert found.outcomes == [_kept(2)]


def test_the_journal_of_a_process_that_lives_is_not_read(path: Path) -> None:
    writer = (
        "import sys, pathlib; from jobsd.processes.outcome_journal import Journal;"
        "journal = Journal(pathlib.Path(sys.argv[1])); journal.append([{'process_id': 7}]);"
        "print('written', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", writer, str(path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as living:
        assert living.stdout is not None
        assert living.stdout.readline() == b"written\n"
        with pytest.raises(JournalInUseError):
            read_journal(path)

        living.communicate()

    assert read_journal(path) is not None


def test_what_does_not_fit_leaves_the_rest_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome_journal, "SIZE_MAX", 600)
    journal = Journal(path)
    journal.append([BEGIN, _kept(1)._asdict()])

    with pytest.raises(OSError, match="larger") as refused:
        journal.append([_kept(2, result="x" * 600)._asdict()])
    journal.append([_kept(3)._asdict()])
    journal.close()

    assert refused.value.errno == errno.EFBIG
    found = read_journal(path)
    assert found is not None
    assert found.outcomes == [_kept(1), _kept(3)]


def test_a_disk_that_is_full_leaves_no_half_line(path: Path) -> None:
    """A limit of the size of files is as a disk that is full: a part can be written."""
    journal = Journal(path)
    journal.append([BEGIN, _kept(1)._asdict()])
    whole = path.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, before[1]))
    try:
        with pytest.raises(OSError, match="large"):
            journal.append([_kept(2)._asdict()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        journal.close()

    assert path.read_bytes() == whole


def test_what_others_could_have_written_is_not_read(path: Path, tmp_path: Path) -> None:
    _written(path, _kept(1))
    link = journal_path(tmp_path, "worker-2")
    link.symlink_to(path)

    assert read_journal(link) is None
    path.chmod(0o640)
    assert read_journal(path) is None
    if os.geteuid() == 0:
        path.chmod(0o600)
        os.chown(path, 12345, 0)
        assert read_journal(path) is None
    assert read_journal(path.with_name("missing.jsonl")) is None


def test_the_folder_names_the_database_and_the_schema(tmp_path: Path) -> None:
    url = "postgresql://user@host/my%2F..db"
    target = Target(url, schema="jobs.d")

    below = journal_folder(tmp_path, {}, target)

    assert below == tmp_path / "storage/outcomes/my%2F%2E%2Edb/jobs%2Ed"
    state = journal_folder(tmp_path, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, target)
    assert str(state).startswith("/var/lib/a/outcomes/")
    assert journal_paths(below) == []
    assert journal_paths(None) == []


def test_a_journal_is_never_written_through_a_link(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("precious", encoding="utf-8")
    path.parent.mkdir(parents=True)
    path.symlink_to(other)

    with pytest.raises(OSError, match="symbolic links"):
        Journal(path).append([BEGIN])

    assert other.read_text(encoding="utf-8") == "precious"


def test_a_record_that_only_a_later_version_understands_is_passed_over(path: Path) -> None:
    journal = Journal(path)
    later = _kept(1)._asdict() | {"of_a_later_version": True}
    journal.append([BEGIN, later, _kept(2)._asdict()])
    journal.close()

    found = read_journal(path)

    assert found is not None
    assert found.outcomes == [_kept(2)]
