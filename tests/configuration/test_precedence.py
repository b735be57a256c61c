"""Where a setting comes from: a flag beats a variable beats a file beats the default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.configuration.flags import Flags
from jobsd.configuration.options import MonitorOptions
from jobsd.errors import ConfigurationError

if TYPE_CHECKING:
    from configuration.project import Project
    from jobsd.configuration.options import Options

VARIABLES = {
    "JOBSD_ENV": "production",
    "JOBSD_CONFIG": "a.yml",
    "JOBSD_LOG_FORMAT": "json",
    "JOBSD_LOG_LEVEL": "debug",
    "JOBSD_METRICS_BIND": ":1",
    "QUEUE_DATABASE_URL": "postgres://variable/",
}


def _said(options: Options) -> tuple[object, ...]:
    return (
        options.environment,
        options.time_zone,
        options.logs.format,
        options.logs.level,
        options.monitor,
        options.database.url,
    )


@pytest.mark.behaviour(7)
def test_a_variable_beats_the_file(project: Project) -> None:
    project.write(
        "a.yml", "{time_zone: Asia/Tokyo, monitor: {bind: ':2'}, database: {url: host=b}}"
    )
    project.environ = VARIABLES

    said = _said(project.load())

    monitor = MonitorOptions(":1", bind_is_default=False)
    assert said == (
        "production",
        "Asia/Tokyo",
        "json",
        "debug",
        monitor,
        "postgresql://variable/",
    )


@pytest.mark.behaviour(7)
def test_a_flag_beats_the_variable(project: Project) -> None:
    project.write("b.yml", "time_zone: Asia/Seoul")
    project.environ = VARIABLES
    flags = Flags(
        config="b.yml",
        log_format="console",
        log_level="ERROR",
        metrics_bind="off",
        database_url="postgresql://flag/",
    )

    said = _said(project.load(flags))

    monitor = MonitorOptions(None, bind_is_default=False)
    assert said == (
        "production",
        "Asia/Seoul",
        "console",
        "error",
        monitor,
        "postgresql://flag/",
    )


def test_the_url_of_the_file_beats_only_the_applications_own(project: Project) -> None:
    project.environ = {"DATABASE_URL": "postgres://app/"}
    without = project.load().database.url
    project.queue("database: {url: postgresql://file/}")

    assert (without, project.load().database.url) == ("postgresql://app/", "postgresql://file/")


def test_the_schema_of_the_file_beats_only_the_applications_own(project: Project) -> None:
    project.environ = {"JOBSD_DATABASE_SCHEMA": "of_the_shop"}
    without = project.load().database.schema
    project.queue("database: {schema: jobsd}")

    assert (without, project.load().database.schema) == ("of_the_shop", "jobsd")


def test_empty_variables_count_as_unset(project: Project) -> None:
    project.environ = dict.fromkeys([*VARIABLES, "DATABASE_URL", "JOBSD_SKIP_RECURRING"], "")

    options = project.load()

    assert (options.environment, options.database.url) == ("development", None)
    assert options.monitor.bind_is_default


@pytest.mark.parametrize(
    ("value", "skips"),
    [
        ("1", True),
        ("true", True),
        ("yes", True),
        ("on", True),
        ("0", False),
        ("false", False),
        ("", False),
        ("FALSE", False),
        ("off", False),
        ("f", False),
        ("T", True),
        ("y", True),
        ("N", False),
    ],
)
def test_skip_recurring_is_read_in_any_spelling(
    project: Project, value: str, *, skips: bool
) -> None:
    project.environ = {"JOBSD_SKIP_RECURRING": value}

    assert project.load().skip_recurring is skips


@pytest.mark.behaviour(7)
def test_the_flag_decides_over_the_variable_either_way(project: Project) -> None:
    project.environ = {"JOBSD_SKIP_RECURRING": "1"}

    assert not project.load(Flags(skip_recurring=False)).skip_recurring


@pytest.mark.behaviour(4)
def test_recurring_tasks_that_are_skipped_are_not_even_read(project: Project) -> None:
    project.recurring("task: {schedule: never}")

    assert project.load(Flags(skip_recurring=True)).tasks == ()


@pytest.mark.behaviour(7)
def test_the_recurring_file_is_named_by_flag_or_variable(project: Project) -> None:
    project.write("one.yml", "one: {class: A, schedule: every hour}")
    project.write("two.yml", "two: {class: A, schedule: every hour}")
    project.environ = {"JOBSD_RECURRING_SCHEDULE": "one.yml"}

    keys = project.load().tasks[0].key, project.load(Flags(recurring="two.yml")).tasks[0].key

    assert keys == ("one", "two")


def test_a_recurring_file_that_is_named_with_a_dash_may_be_missing(project: Project) -> None:
    project.write("one.yml", "one: {class: A, schedule: every hour}")

    given = project.load(Flags(recurring="-one.yml")).tasks
    project.environ = {"JOBSD_RECURRING_SCHEDULE": "-none.yml"}

    assert [task.key for task in given] == ["one"]
    assert project.load().tasks == ()


def test_queues_of_the_flag_are_those_of_every_worker(project: Project) -> None:
    project.queue("workers: [{queues: a}, {queues: b}]")

    options = project.load(Flags(queues="mail, slow_*"))

    assert [worker.queues for worker in options.workers] == [("mail", "slow_*")] * 2


def test_a_group_of_workers_is_started_by_its_place(project: Project) -> None:
    project.queue("workers: [{queues: a}, {queues: b, threads: 7}]")

    (worker,) = project.load(Flags(worker_group="2")).workers

    assert (worker.queues, worker.threads) == (("b",), 7)
    fault = project.fault(Flags(worker_group="3"))
    assert (fault.message, fault.source) == (
        "there is no worker group 3: config/queue.yml has 2",
        "--worker-group",
    )
    with pytest.raises(ConfigurationError, match="must be a whole number from 1"):
        project.load(Flags(worker_group="0"))


def test_modules_of_the_flag_come_after_those_of_the_file(project: Project) -> None:
    project.queue("import: [app.jobs, app.mail]")

    options = project.load(Flags(imports=("more", "app.jobs")))

    assert options.imports == ("app.jobs", "app.mail", "more")


def test_only_names_the_kinds_that_start(project: Project) -> None:
    assert project.load(Flags(only="worker, scheduler")).only == {"worker", "scheduler"}


def test_faults_of_flags_and_variables_name_them(project: Project) -> None:
    project.environ = {"JOBSD_LOG_LEVEL": "loud", "DATABASE_URL": "sqlite:///secret.db"}
    flags = Flags(only="workers", queues="a*b", metrics_bind="9394", imports=("a b",))

    reported = {fault.source: fault.message for fault in project.faults(flags)}

    assert reported == {
        "--only": '--only must list worker, dispatcher or scheduler, not "workers"',
        "--queues": '--queues may have a star only at the end of a name, unlike "a*b"',
        "--metrics-bind": '--metrics-bind must be HOST:PORT, not "9394"',
        "--import": '--import must be the dotted name of a module, not "a b"',
        "JOBSD_LOG_LEVEL": "JOBSD_LOG_LEVEL must be debug, info, warning, error, critical,"
        ' warn or fatal, not "loud"',
        "DATABASE_URL": "DATABASE_URL must be a URL of a PostgreSQL database",
    }


@pytest.mark.parametrize(
    ("said", "flag", "logs_all"),
    [("", None, False), ("1", None, True), ("1", False, False), ("", True, True)],
)
def test_every_line_of_jobs_is_asked_for_by_flag_or_variable(
    project: Project, said: str, *, flag: bool | None, logs_all: bool
) -> None:
    project.environ = {"JOBSD_LOG_JOBS": said}

    assert project.load(Flags(log_jobs=flag)).log_jobs is logs_all
