"""What units and manual pages have of what stands in paths, variables and texts."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from pathlib import Path

import pytest

from jobsd.configuration.options import Options
from jobsd.daemon.generate import manual, service_unit


@pytest.mark.parametrize(
    ("given", "named"),
    [("", "-{}/config/recurring.yml"), ("one.yml", "{}/one.yml"), ("-one.yml", "-{}/one.yml")],
)
def test_only_a_recurring_file_that_is_named_must_exist(
    tmp_path: Path, given: str, named: str
) -> None:
    environ = {"JOBSD_RECURRING_SCHEDULE": given} if given else {}

    lines = service_unit.unit(Options(root=tmp_path), environ).splitlines()

    assert f"Environment=JOBSD_RECURRING_SCHEDULE={named.format(tmp_path)}" in lines


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (".env is read", "\\&.env is read"),
        ("'quoted'", "\\&'quoted'"),
        ("in .env", "in .env"),
        ("--json", "\\-\\-json"),
        ("C:\\n", "C:\\en"),
        ("1…2", "1\\[u2026]2"),
    ],
)
def test_no_text_is_a_request_to_the_manual_pages_program(text: str, written: str) -> None:
    assert manual._escaped(text) == written
