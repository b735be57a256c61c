"""The two files as a whole: what runs, from which folder, with which defaults."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from configuration.project import SEED, Project
from jobsd.configuration.flags import Flags
from jobsd.configuration.folder import project_root
from jobsd.configuration.load import examine, load, load_for_commands
from jobsd.configuration.options import (
    DispatcherOptions,
    JobsOptions,
    MonitorOptions,
    SchedulerOptions,
    SupervisorOptions,
    WorkerOptions,
)
from jobsd.configuration.tree_name import tree_of

SHIPPED = Path(__file__).parents[2]
DAY = 86_400.0
WORKER = WorkerOptions(
    queues=("*",),
    threads=3,
    processes=1,
    polling_interval_s=0.1,
    prefetch=None,
    max_jobs=None,
    max_memory=None,
    max_age_s=None,
)
DISPATCHER = DispatcherOptions(
    1.0, 500, concurrency_maintenance=True, concurrency_maintenance_interval_s=600.0
)


@pytest.mark.behaviour(1)
def test_without_files_one_dispatcher_and_one_worker_run(project: Project) -> None:
    options = project.load()

    assert (options.workers, options.dispatchers, options.tasks) == (
        (WORKER,),
        (DISPATCHER,),
        (),
    )


def test_every_other_setting_has_the_default_that_is_documented(project: Project) -> None:
    options = project.load()

    assert (options.scheduler, options.supervisor, options.monitor, options.jobs) == (
        SchedulerOptions(
            dynamic_tasks_enabled=True, polling_interval_s=5.0, keep_history_for_s=30 * DAY
        ),
        SupervisorOptions(5.0, 10.0, 60.0, None, None),
        MonitorOptions("127.0.0.1:9394", bind_is_default=True),
        JobsOptions(
            preserve_finished_jobs=True,
            clear_finished_jobs_after_s=DAY,
            default_concurrency_control_period_s=180.0,
            filter_arguments=(),
            unknown_class_after_s=0.0,
        ),
    )
    assert options.supervisor.hang_timeout_s == 40.0


@pytest.mark.parametrize(
    ("environment", "after_s"),
    [("", 0.0), ("development", 0.0), ("test", 0.0), ("live", 600.0)],
)
def test_an_unknown_class_fails_at_once_only_in_development_and_test(
    project: Project, environment: str, after_s: float
) -> None:
    project.environ = {"JOBSD_ENV": environment}
    project.queue("default: {workers: [{}]}")
    default = project.load().jobs.unknown_class_after_s
    project.queue("default: {jobs: {unknown_class_after: 2h}}")

    assert (default, project.load().jobs.unknown_class_after_s) == (after_s, 7200.0)


def test_the_rest_has_its_default_too(project: Project) -> None:
    options = project.load()

    assert (options.environment, options.time_zone, options.imports) == (
        "development",
        "UTC",
        (),
    )
    assert (options.logs.format, options.logs.level, options.skip_recurring) == (
        None,
        "info",
        False,
    )
    assert options.only == {"worker", "dispatcher", "scheduler"}
    assert (options.database.url, options.database.listen_url) == (None, None)
    assert (options.database.schema, options.database.wakeups) == ("jobsd", "auto")


@pytest.mark.parametrize(("given", "processes"), [(None, 1), ("4", 4)])
def test_the_file_of_the_seed_works_as_it_stands(
    project: Project, given: str | None, processes: int
) -> None:
    project.write("config/queue.yml", SEED)
    project.environ = {} if given is None else {"JOB_CONCURRENCY": given}

    options = project.load()

    assert [worker.processes for worker in options.workers] == [processes]
    assert options.dispatchers == (DISPATCHER,)


def test_the_shipped_files_hold_the_seed_and_the_two_shipped_tasks() -> None:
    options = load(SHIPPED, {"JOB_CONCURRENCY": "4"}, Flags())

    assert options.workers == (replace(WORKER, processes=4),)
    assert [(t.key, t.phrase, t.run_at_start) for t in options.tasks] == [
        ("heartbeat", "every 5 minutes", True),
        ("clear_finished", "every hour at minute 12", False),
    ]
    assert options.warnings == ()


def test_every_key_that_the_shipped_file_shows_in_comments_is_one(project: Project) -> None:
    shown = (SHIPPED / "config/queue.yml").read_text()
    head, body = shown.split("default:\n")
    assert head.count("#") == len(head.splitlines())
    uncommented = re.sub(r"^( +)# ", r"\1", body, flags=re.MULTILINE)
    project.write("config/queue.yml", "default:\n" + uncommented)

    options = project.load()

    assert (options.workers, options.imports) == ((WORKER,), ("app.jobs",))


@pytest.mark.behaviour(1)
def test_a_missing_file_is_a_warning(project: Project) -> None:
    options = project.load()

    assert options.warnings == (
        "config/queue.yml does not exist: the built-in configuration is used",
        "config/recurring.yml does not exist: recurring tasks come from the code alone",
    )


@pytest.mark.failure("an image is started without its configuration", "it is refused: 78")
@pytest.mark.parametrize("environment", ["production", "staging", "Test"])
def test_only_development_and_test_start_without_a_file(
    project: Project, environment: str
) -> None:
    project.environ = {"JOBSD_ENV": environment}

    [fault] = project.faults()

    assert fault.source == "config/queue.yml"
    assert f'the environment "{environment}" needs it' in fault.message
    assert "(`init` writes one)" in fault.hint
    assert "only development and test (--env, JOBSD_ENV) start without one" in fault.hint


@pytest.mark.parametrize(
    ("files", "flags", "refused"),
    [
        ([], Flags(), 1),
        ([], Flags(imports=("app.jobs",), queues="mail"), 1),
        (["config/recurring.yml"], Flags(), 0),
        (["config/recurring.yml"], Flags(skip_recurring=True), 1),
        (["config/recurring.yml"], Flags(config="config/misspelt.yml"), 1),
        (["config/queue.yml"], Flags(), 0),
        (["config/queue.yml"], Flags(config="config/misspelt.yml"), 1),
    ],
)
def test_a_named_file_must_exist_outside_of_development_and_test(
    project: Project, files: list[str], flags: Flags, refused: int
) -> None:
    for name in files:
        project.write(name, "")

    project.environ = {"JOBSD_ENV": "test"}
    tried_out = examine(project.root, project.environ, flags).faults
    assert len(tried_out) == ("config" in flags.given)
    project.environ = {"JOBSD_ENV": "production"}
    faults = examine(project.root, project.environ, flags).faults
    assert len(faults) == refused


def test_commands_that_start_nothing_need_no_file(project: Project) -> None:
    options = load_for_commands(project.root, {"JOBSD_ENV": "production"}, Flags())

    assert options.environment == "production"


@pytest.mark.behaviour(2)
def test_workers_alone_mean_no_dispatcher(project: Project) -> None:
    project.queue("workers: [{threads: 5}]")

    options = project.load()

    assert (len(options.workers), options.dispatchers) == (1, ())
    assert options.warnings[-1] == (
        "config/queue.yml has workers and no dispatchers: scheduled jobs and retries will wait"
        " until a dispatcher runs somewhere (`dispatchers: [{}]` starts one)"
    )


def test_a_start_of_workers_only_is_not_warned_about_missing_dispatchers(
    project: Project,
) -> None:
    project.queue("workers: [{threads: 5}]")

    assert "no dispatchers" in str(project.load().warnings)
    assert "no dispatchers" not in str(project.load(Flags(only="worker")).warnings)


def test_dispatchers_alone_mean_no_worker(project: Project) -> None:
    project.queue("dispatchers: [{batch_size: 5}]")

    options = project.load()

    assert (options.workers, len(options.dispatchers)) == ((), 1)


def test_other_keys_alone_leave_both(project: Project) -> None:
    project.queue("time_zone: Europe/Madrid")

    options = project.load()

    assert (len(options.workers), len(options.dispatchers)) == (1, 1)


@pytest.mark.behaviour(3)
def test_nothing_to_run_is_a_fault(project: Project) -> None:
    project.queue("workers: []\ndispatchers: []\n")

    fault = project.fault()

    assert (fault.message, fault.source) == ("no processes configured", "config/queue.yml:1:10")


def test_workers_without_a_process_are_nothing_to_run(project: Project) -> None:
    project.queue("workers: [{processes: 0}]")

    assert project.fault().message == "no processes configured"


def test_a_recurring_task_is_something_to_run(project: Project) -> None:
    project.queue("workers: []\ndispatchers: []\n")
    project.recurring("beat: {class: HeartbeatJob, schedule: every hour}")

    assert len(project.load().tasks) == 1


def test_a_scheduler_that_is_asked_for_is_something_to_run(project: Project) -> None:
    project.queue("workers: []\ndispatchers: []\nscheduler: {polling_interval: 1}\n")

    assert project.load().scheduler.polling_interval_s == 1.0


def test_only_kinds_that_are_not_configured_is_a_fault(project: Project) -> None:
    project.queue("workers: [{threads: 1}]")

    fault = project.fault(Flags(only="dispatcher"))

    assert fault.message == "no processes configured"
    assert fault.hint == "--only names dispatcher, but none is configured"


def test_paths_are_those_of_the_project(project: Project) -> None:
    text = "supervisor: {pidfile: run/jobsd.pid}\nlogs: {file: log/jobsd.log}\n"
    project.write("etc/q.yml", text)

    options = project.load(Flags(config="etc/q.yml"))

    assert options.supervisor.pidfile == project.root / "run/jobsd.pid"
    assert options.logs.file == project.root / "log/jobsd.log"


def test_the_project_is_the_working_directory_when_that_is_configured(project: Project) -> None:
    project.write("here/config/recurring.yml", "")

    root = project_root(project.root / "here", {"JOBSD_HOME": "/elsewhere"})

    assert root == project.root / "here"


def test_the_project_is_jobsd_home_otherwise(project: Project) -> None:
    assert project_root(project.root, {"JOBSD_HOME": "/elsewhere"}) == Path("/elsewhere")


def test_without_either_the_project_is_the_working_directory(project: Project) -> None:
    assert project_root(project.root, {}) == project.root


def test_no_password_is_in_the_options_as_text(project: Project) -> None:
    project.queue("database: {url: 'postgres://u:hidden@h/d', listen_url: 'password=hidden'}")

    assert "hidden" not in repr(project.load())


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (Flags(until_empty=True, only="dispatcher"), "--until-empty needs a worker"),
        (Flags(horizon="1h"), "--horizon needs --until-empty"),
    ],
)
def test_an_end_that_would_never_come_is_refused(
    project: Project, flags: Flags, says: str
) -> None:
    fault = project.fault(flags)

    assert fault.message == says
    # So the command ends with 2.
    assert fault.source == says.split(maxsplit=1)[0]


def test_a_tree_that_is_to_end_has_no_scheduler(project: Project) -> None:
    project.recurring("task: {class: A, schedule: every hour}")
    options = project.load(Flags(until_empty=True, horizon="1h"))

    assert (options.schedules, options.tasks, options.horizon_s) == (False, (), 3600.0)


@pytest.mark.parametrize(
    "other", [{"queues": "mail"}, {"pidfile": "other.pid"}, {"only": "worker"}, {}], ids=str
)
def test_a_tree_that_is_started_in_another_way_has_another_name(
    project: Project, other: dict[str, str]
) -> None:
    names = {tree_of(project.load(Flags(**given))) for given in ({"queues": "slow"}, other)}

    assert len(names) == 2
    assert names == {
        tree_of(project.load(Flags(**each))) for each in (other, {"queues": "slow"})
    }
