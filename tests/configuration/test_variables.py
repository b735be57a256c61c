"""One table has all variables; booleans among them are read strictly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from configuration.variables_page import PAGE, page
from jobsd import errors, in_web
from jobsd.configuration.variables import variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from configuration.project import Project

ROOT = Path(__file__).parents[2]
ROOMS = ("src/jobsd", "daemon", "supervisor", "worker", "dispatcher", "scheduler", "web")
NOT_OF_USERS = {
    "JOBSD_HOME": "the script's own",
    "JOBSD_ASKED": "between our processes",
    "JOBSD_APPLICATION_DATABASE": "between our processes",
    "JOBSD_DATABASE": "a setting of Django",
    "JOBSD_DATABASE_SCHEMA": "between our processes",
    "JOBSD_DATABASE_URL": "a setting of Flask",
    "JOBSD_COMPLETE": "the shell's",
    **dict.fromkeys(
        (
            *("JOBSD_ATTEMPT", "JOBSD_CLASS", "JOBSD_EVENT", "JOBSD_ITS_KIND"),
            *("JOBSD_ITS_NAME", "JOBSD_JOB_ID", "JOBSD_PROCESS_KIND", "JOBSD_PROCESS_NAME"),
            *("JOBSD_QUEUE", "JOBSD_REASON", "JOBSD_TASK"),
        ),
        "a field of the journal",
    ),
}


def _named_in_sources() -> Iterator[str]:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            yield from re.findall(r"\bJOBSD_[A-Z_]+\b", path.read_text(encoding="utf-8"))


def test_the_table_has_each_variable_that_the_sources_name_once() -> None:
    names = [name for name, _ in variables()]

    assert len(names) == len(set(names))
    ours = {name for name in names if name.startswith("JOBSD_")}
    assert set(_named_in_sources()) - NOT_OF_USERS.keys() == ours


def test_the_page_of_the_variables_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run tests/configuration/variables_page.py"
    )


@pytest.mark.parametrize("name", ["JOBSD_SKIP_RECURRING", "JOBSD_LOG_JOBS"])
@pytest.mark.parametrize("value", ["maybe", "2", "nil", "true!"])
def test_a_switch_with_another_value_is_a_fault(
    project: Project, name: str, value: str
) -> None:
    project.environ = {name: value}

    with pytest.raises(errors.ConfigurationError, match="must be true or false") as caught:
        project.load()

    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("value", "is_on"), [("1", True), (" ON ", True), ("no", False), ("", False)]
)
def test_a_web_server_starts_a_tree_if_the_variable_is_true(
    monkeypatch: pytest.MonkeyPatch, value: str, *, is_on: bool
) -> None:
    monkeypatch.setenv(in_web.VARIABLE, value)

    assert in_web.is_enabled() is is_on


def test_a_web_server_does_not_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(in_web.VARIABLE, "maybe")

    with pytest.raises(in_web.InWebError, match="JOBSD_IN_WEB='maybe' must be true or false"):
        in_web.is_enabled()
