"""The keys of queue.yml: what each may hold, and the fault when it may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.configuration.options import DatabaseOptions, JobsOptions
from jobsd.database.statements import channel

if TYPE_CHECKING:
    from configuration.project import Project


def test_a_dispatcher_takes_the_values_of_its_keys(project: Project) -> None:
    project.queue("""
        dispatchers:
          - {polling_interval: 2, batch_size: 10000, concurrency_maintenance: false,
             concurrency_maintenance_interval: 1m}
    """)

    (dispatcher,) = project.load().dispatchers

    assert (dispatcher.polling_interval_s, dispatcher.batch_size) == (2.0, 10_000)
    assert not dispatcher.concurrency_maintenance
    assert dispatcher.concurrency_maintenance_interval_s == 60.0


def test_the_database_takes_the_values_of_its_keys(project: Project) -> None:
    project.queue("""
        database:
          url: postgresql+psycopg://u:p@h/d?sslmode=require
          listen_url: host=direct dbname=d
          schema: Jobs_2
          wakeups: off
    """)

    assert project.load().database == DatabaseOptions(
        "postgresql://u:p@h/d?sslmode=require", "host=direct dbname=d", "Jobs_2", "off"
    )


@pytest.mark.parametrize(
    "schema", ["a-b", '"a b"', "1a", "a" * 57, "Ã", "pg_jobs", "information_schema", '""']
)
def test_a_schema_is_a_plain_identifier(project: Project, schema: str) -> None:
    project.queue(f"database: {{schema: {schema}}}")

    assert project.fault().source == "config/queue.yml:1:20"


def test_a_schema_may_be_as_long_as_its_channel_lets_it(project: Project) -> None:
    project.queue(f"database: {{schema: {'a' * 56}}}")

    assert channel(project.load().database.schema) == f'"{"a" * 56}".wake'


@pytest.mark.parametrize("url", ["mysql://u:hidden@h/d", "hidden", "http://hidden"])
def test_a_faulty_url_is_never_shown(project: Project, url: str) -> None:
    project.queue(f"database: {{url: '{url}'}}")

    fault = project.fault()

    assert fault.message == "database.url must be a URL of a PostgreSQL database"


@pytest.mark.parametrize(
    "bind", ["127.0.0.1:9394", "localhost:80", ":9394", "[::1]:9394", "[fe80::1%eth0]:1"]
)
def test_a_place_to_listen_is_host_and_port(project: Project, bind: str) -> None:
    project.queue(f"monitor: {{bind: '{bind}'}}")

    monitor = project.load().monitor

    assert (monitor.bind, monitor.bind_is_default) == (bind, False)


@pytest.mark.parametrize("monitor", ["null", "{bind: null}", "{bind: off}", "{bind: false}"])
def test_nothing_to_listen_on_means_no_http(project: Project, monitor: str) -> None:
    project.queue(f"monitor: {monitor}")

    assert project.load().monitor.bind is None


@pytest.mark.parametrize(
    "bind", ["9394", "localhost", "h:65536", "h:", "::1:9394", "http://h:1", "a b:1"]
)
def test_any_other_bind_address_is_refused(project: Project, bind: str) -> None:
    project.queue(f"monitor: {{bind: '{bind}'}}")

    assert project.fault().message == f'monitor.bind must be HOST:PORT, not "{bind}"'


def test_one_missed_heartbeat_must_not_make_a_process_dead(project: Project) -> None:
    project.queue("supervisor: {heartbeat_interval: 30, process_alive_threshold: 60}")

    fault = project.fault()

    assert fault.source == "config/queue.yml:1:63"
    assert fault.message == (
        "supervisor.process_alive_threshold must be more than twice heartbeat_interval"
    )


def test_the_key_that_is_given_is_the_one_at_fault(project: Project) -> None:
    project.queue("supervisor: {heartbeat_interval: 1h}")

    assert project.fault().message == (
        "supervisor.heartbeat_interval must be less than half of process_alive_threshold"
    )


def test_a_threshold_just_above_two_heartbeats_is_good(project: Project) -> None:
    project.queue("supervisor: {heartbeat_interval: 1, process_alive_threshold: 2100ms}")

    assert project.load().supervisor.process_alive_threshold_s == 2.1


@pytest.mark.parametrize(
    ("written", "hang_s"),
    [
        ("{}", 40.0),
        ("{hang_timeout: null}", 40.0),
        ("{process_alive_threshold: 90}", 60.0),
        ("{process_alive_threshold: 7d}", 7 * 86_400 * 2 / 3),
        ("{heartbeat_interval: 2, process_alive_threshold: 5}", 5.0),
        ("{heartbeat_interval: 0.1, process_alive_threshold: 0.3}", 5.0),
        ("{hang_timeout: 59.9}", 59.9),
        ("{process_alive_threshold: 3m, hang_timeout: 2m}", 120.0),
    ],
)
def test_a_hanging_process_has_two_thirds_of_the_threshold_and_5_seconds_at_least(
    project: Project, written: str, hang_s: float
) -> None:
    project.queue(f"supervisor: {written}")

    assert project.load().supervisor.hang_timeout_s == hang_s


@pytest.mark.parametrize(
    ("written", "column", "threshold", "default"),
    [
        ("{hang_timeout: 60}", 28, 60, 40),
        ("{hang_timeout: 2m}", 28, 60, 40),
        ("{hang_timeout: 30, process_alive_threshold: 30}", 28, 30, 20),
        ("{heartbeat_interval: 2, process_alive_threshold: 5, hang_timeout: 5}", 79, 5, 5),
    ],
)
def test_a_process_that_hangs_must_be_killed_before_others_take_its_jobs(
    project: Project, written: str, column: int, threshold: int, default: int
) -> None:
    project.queue(f"supervisor: {written}")

    fault = project.fault()

    assert fault.source == f"config/queue.yml:1:{column}"
    assert fault.message == (
        "supervisor.hang_timeout must be less than process_alive_threshold,"
        f" which is {threshold} s"
    )
    assert fault.hint.endswith(
        f"raise process_alive_threshold, or leave hang_timeout out ({default} s then)"
    )


def test_timeouts_are_compared_after_sections_are_merged(project: Project) -> None:
    project.queue(
        """
        default: {supervisor: {hang_timeout: 70}}
        development: {supervisor: {process_alive_threshold: 90}}
        """
    )

    assert project.load().supervisor.hang_timeout_s == 70.0


def test_jobs_take_the_values_of_their_keys(project: Project) -> None:
    project.queue("""
        jobs:
          preserve_finished_jobs: false
          clear_finished_jobs_after: 0
          default_concurrency_control_period: 1ms
          filter_arguments: [password, token]
    """)

    assert project.load().jobs == JobsOptions(
        preserve_finished_jobs=False,
        clear_finished_jobs_after_s=0.0,
        default_concurrency_control_period_s=0.001,
        filter_arguments=("password", "token"),
        unknown_class_after_s=0.0,
    )


@pytest.mark.parametrize(
    ("module", "hint"),
    [("app/jobs.py", 'write "app.jobs"'), ("1a", ""), ("a..b", ""), ("a b", "")],
)
def test_a_module_has_a_dotted_name(project: Project, module: str, hint: str) -> None:
    project.queue(f"import: ['{module}']")

    fault = project.fault()

    assert fault.message == f'import[0] must be the dotted name of a module, not "{module}"'
    assert fault.hint == hint


def test_an_unknown_zone_gets_the_nearest_as_a_hint(project: Project) -> None:
    project.queue("time_zone: Europe/Madird")

    fault = project.fault()

    assert fault.source == "config/queue.yml:1:12"
    assert "Europe/Madrid" in fault.hint


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("worker: [{}]", 'unknown key "worker"', 'did you mean "workers"?'),
        (
            "workers: [{thread: 5}]",
            'unknown key "thread" in workers[0]',
            'did you mean "threads"?',
        ),
        (
            "scheduler: {xyz: 1}",
            'unknown key "xyz" in scheduler',
            "expected one of dynamic_tasks_enabled, keep_history_for, polling_interval",
        ),
    ],
)
def test_an_unknown_key_gets_the_nearest_as_a_hint(
    project: Project, written: str, message: str, hint: str
) -> None:
    project.queue(f"jobs: {{}}\n{written}\n")

    fault = project.fault()

    assert (fault.message, fault.hint) == (message, hint)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("workers: {threads: 3}", "workers must be a list, not a mapping"),
        ("workers: 3", "workers must be a list, not 3"),
        ("workers: [3]", "workers[0] must be a mapping, not 3"),
        (
            "workers: [{threads: true}]",
            "workers[0].threads must be a whole number from 1 to 256, not true",
        ),
        ("scheduler: x", 'scheduler must be a mapping, not "x"'),
        (
            "jobs: {preserve_finished_jobs: 1}",
            "jobs.preserve_finished_jobs must be true or false, not 1",
        ),
        ("- workers", "the file must hold a mapping"),
        ("workers", "the file must hold a mapping"),
    ],
)
def test_a_value_of_another_kind_is_a_fault(
    project: Project, written: str, message: str
) -> None:
    project.queue(written)

    assert project.fault().message == message
