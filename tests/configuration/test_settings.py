"""The table of settings: what is made of it, and that each row is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from configuration.settings_page import PAGE, QUEUE_FILE, page, queue_file
from jobsd.configuration.example import example_queue_file
from jobsd.configuration.flags import ROWS, Flags
from jobsd.configuration.options import (
    SECTIONS,
    DatabaseOptions,
    Options,
    SupervisorOptions,
)
from jobsd.configuration.setting import settings_of
from jobsd.database.connection import Target
from jobsd.scoreboard.thresholds import DEFAULTS

if TYPE_CHECKING:
    from configuration.project import Project

RUN = "run tests/configuration/settings_page.py"
TABLE = [
    (options, field, row)
    for options in (Options, *SECTIONS.values())
    for field, _, row in settings_of(options)
]


def test_the_reference_page_is_made_of_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), RUN


def test_the_shipped_file_is_made_of_the_table() -> None:
    assert QUEUE_FILE.read_text(encoding="utf-8") == queue_file(), RUN


def test_every_setting_has_a_short_sentence_and_lists_its_values() -> None:
    for _, field, row in TABLE:
        assert row.sentence.endswith("."), field
        assert len(row.sentence) <= 80, field
        assert row.kind.takes, field


def test_every_flag_and_variable_belongs_to_one_setting() -> None:
    names = [name for row in ROWS for name in (row.flag, row.variable, row.fallback) if name]

    assert len(names) == len(set(names))


def test_a_call_without_arguments_equals_a_file_without_keys(
    project: Project,
) -> None:
    project.environ = {"JOBSD_ENV": "production"}
    project.queue("default: {}")
    project.recurring("{}")

    loaded = project.load()

    made = Options(root=project.root, environment="production")
    for _, field, _ in TABLE:
        if hasattr(made, field):
            assert getattr(loaded, field) == getattr(made, field)
    for section in SECTIONS:
        assert getattr(loaded, section) == getattr(made, section)


def test_the_floors_below_have_the_same_defaults() -> None:
    target, database = Target("postgresql:///jobs"), DatabaseOptions()

    assert (target.schema, target.wakeups) == (database.schema, database.wakeups)
    assert SupervisorOptions().thresholds == DEFAULTS


def test_what_init_writes_has_the_defaults_too(project: Project) -> None:
    project.write("config/queue.yml", example_queue_file("${N:-1}", ["sample_jobs"]))

    options = project.load()

    assert (options.imports, options.workers, options.dispatchers) == (
        ("sample_jobs",),
        Options(root=project.root).workers,
        Options(root=project.root).dispatchers,
    )


def test_a_flag_that_is_no_setting_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError, match="unknown flags: log_levle"):
        Flags(log_levle="debug")
