"""`from jobsd import …`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import jobsd
from jobsd import face

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.database.connection import Target


def _python(code: str, cwd: Path | None = None, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", jobsd.__all__)
def test_every_name_can_be_imported(name: str) -> None:
    assert getattr(jobsd, name) is not None


def test_each_name_has_one_home() -> None:
    assert sorted({*face.HOMES, "queues"}) == sorted(jobsd.__all__)


def test_a_name_that_is_none_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'nonsense'"):
        _ = jobsd.nonsense  # type: ignore[attr-defined]


def test_importing_jobsd_loads_nothing_and_prints_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import jobsd\n"
        "print(sorted(set(sys.modules) - before))"
    )

    assert _python(code) == "['jobsd']\n"


def test_a_job_can_be_defined_without_cron_and_yaml() -> None:
    code = (
        "import sys; from jobsd import job, Job, enqueue_many\n"
        "print(sorted({'croniter', 'yaml', 'structlog'} & set(sys.modules)))"
    )

    assert _python(code) == "[]\n"


def test_a_program_finds_its_database_as_the_commands_do(
    target: Target, tmp_path: Path
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/queue.yml").write_text(
        f"database: {{url: {target.url!r}}}\n", encoding="utf-8"
    )
    code = (
        "from jobsd import HeartbeatJob, queues, health_status, RecurringTask\n"
        "print(HeartbeatJob.enqueue().state, queues.size('default'), RecurringTask.all())\n"
        "print(health_status())"
    )

    reported = _python(code, tmp_path, DATABASE_URL="postgresql://me@127.0.0.1:1/db")

    assert reported == "ready 1 []\n{'healthy': False, 'last_heartbeat': None}\n"
