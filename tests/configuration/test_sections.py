"""Which part of a file counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from configuration.project import Project

SECTIONS = """
    default:
      time_zone: Asia/Tokyo
      supervisor: {shutdown_timeout: 7, hang_timeout: 30}
      workers: [{threads: 1}, {threads: 2}]
    production:
      supervisor: {hang_timeout: 40}
      workers: [{threads: 9}]
    test:
"""


@pytest.mark.behaviour(5)
def test_default_is_the_base_of_every_environment(project: Project) -> None:
    project.queue(SECTIONS)

    options = project.load()

    assert [worker.threads for worker in options.workers] == [1, 2]
    assert options.supervisor.hang_timeout_s == 30.0


@pytest.mark.behaviour(5)
def test_the_environments_section_overlays_mappings_by_key_and_lists_whole(
    project: Project,
) -> None:
    project.queue(SECTIONS)
    project.environ = {"JOBSD_ENV": "production"}

    options = project.load()

    assert [worker.threads for worker in options.workers] == [9]
    assert options.supervisor.hang_timeout_s == 40.0
    assert (options.supervisor.shutdown_timeout_s, options.time_zone) == (7.0, "Asia/Tokyo")


def test_an_empty_section_changes_nothing(project: Project) -> None:
    project.queue(SECTIONS)
    project.environ = {"JOBSD_ENV": "test"}

    assert len(project.load().workers) == 2


@pytest.mark.behaviour(5)
@pytest.mark.parametrize(
    "written",
    [
        "workers: [{threads: 7}]",
        "development: {workers: [{threads: 7}]}",
        "default: {workers: [{threads: 7}]}",
        "default: {workers: [{threads: 1}]}\ndevelopment: {workers: [{threads: 7}]}",
        "production: {time_zone: UTC}\ndevelopment: {workers: [{threads: 7}]}\ntest:\n",
    ],
)
def test_a_file_may_have_sections_or_not(project: Project, written: str) -> None:
    project.queue(written)

    options = project.load()

    assert [worker.threads for worker in options.workers] == [7]


def test_sections_that_are_all_for_others_leave_the_defaults_with_a_warning(
    project: Project,
) -> None:
    project.queue("production: {workers: [{threads: 7}]}\nstaging: {time_zone: Asia/Tokyo}")
    project.recurring("production: {beat: {class: A, schedule: every hour}}")

    options = project.load()

    counts = "but none for development, the current environment (JOBSD_ENV)"
    built_in, none = (
        "the built-in configuration is used",
        "recurring tasks come from the code alone",
    )
    assert ([worker.threads for worker in options.workers], options.tasks) == ([3], ())
    assert options.warnings == (
        f"config/queue.yml has sections (production, staging), {counts}: {built_in}",
        f"config/recurring.yml has sections (production), {counts}: {none}",
    )


def test_a_default_that_is_empty_does_not_keep_others_sections_from_a_warning(
    project: Project,
) -> None:
    project.recurring("default:\nproduction: {beat: {class: A, schedule: every hour}}")

    (_, reported) = project.load().warnings

    assert reported.startswith(
        "config/recurring.yml has sections (default, production), but none for"
    )


def test_a_misspelt_environment_is_offered_the_intended_section(
    project: Project,
) -> None:
    project.queue("production: {workers: [{threads: 7}]}")
    project.recurring("{}")
    project.environ = {"JOBSD_ENV": "prodution"}

    [reported] = project.load().warnings

    assert reported == (
        "config/queue.yml has sections (production), but none for prodution, the current"
        " environment (JOBSD_ENV; did you mean production?): the built-in"
        " configuration is used"
    )


def test_a_default_does_not_hide_that_an_environment_is_misspelt(project: Project) -> None:
    project.queue("default: {time_zone: UTC}\nproduction: {workers: [{threads: 7}]}")
    project.recurring("{}")
    project.environ = {"JOBSD_ENV": "prodution"}

    [reported] = project.load().warnings

    assert reported == (
        "config/queue.yml has no section prodution, the current environment (JOBSD_ENV;"
        " did you mean production?): only `default` is used"
    )


@pytest.mark.parametrize("environment", ["development", "staging", "testing"])
def test_an_environment_that_only_has_the_default_is_no_warning(
    project: Project, environment: str
) -> None:
    project.queue("default: {time_zone: UTC}\nproduction: {}\ntest: {}")
    project.recurring("{}")
    project.environ = {"JOBSD_ENV": environment}

    assert project.load().warnings == ()


@pytest.mark.parametrize(
    "written", ["default: {}", "development:\nproduction: {time_zone: UTC}"]
)
def test_a_section_that_is_empty_on_purpose_is_no_warning(
    project: Project, written: str
) -> None:
    project.queue(written)
    project.recurring("{}")

    assert project.load().warnings == ()


def test_sections_that_are_not_used_are_checked(project: Project) -> None:
    project.queue("""
        default: {workers: [{threads: 1}]}
        production: {workers: [{threads: 0}]}
    """)
    project.recurring("""
        default:
          beat: {class: A, schedule: every hour}
        production:
          beat: {schedule: every wrong hour}
          other: {class: A}
    """)

    assert [fault.source for fault in project.faults()] == [
        "config/queue.yml:3:34",
        "config/recurring.yml:5:20",
        "config/recurring.yml:6:3",
    ]


def test_a_default_that_is_overlaid_is_checked_too(project: Project) -> None:
    project.queue("""
        default: {workers: [{threads: 0}]}
        production: {workers: [{threads: 1}]}
    """)
    project.environ = {"JOBSD_ENV": "production"}

    assert project.fault().source == "config/queue.yml:2:31"


def test_a_part_is_not_judged_as_if_it_were_all(project: Project) -> None:
    project.queue("""
        default: {supervisor: {heartbeat_interval: 60}}
        production: {supervisor: {process_alive_threshold: 300}}
    """)
    project.environ = {"JOBSD_ENV": "production"}

    assert project.load().supervisor.process_alive_threshold_s == 300.0


def test_a_fault_that_sections_share_is_reported_once(project: Project) -> None:
    project.queue(
        "default: {workers: [{threads: 0}]}\nproduction: {time_zone: UTC}\ntest: {}\n"
    )

    assert len(project.faults()) == 1


def test_tasks_are_overlaid_key_by_key(project: Project) -> None:
    project.recurring("""
        default:
          a: {class: A, schedule: every hour}
          b: {class: B, schedule: every hour}
        production:
          a: {schedule: every minute}
          c: {class: C, schedule: every hour}
    """)
    project.environ = {"JOBSD_ENV": "production"}

    tasks = project.load().tasks

    assert [(task.key, task.class_name, task.phrase, task.source) for task in tasks] == [
        ("a", "A", "every minute", "config/recurring.yml:6"),
        ("b", "B", "every hour", "config/recurring.yml:4"),
        ("c", "C", "every hour", "config/recurring.yml:7"),
    ]


def test_tasks_may_stand_without_sections(project: Project) -> None:
    project.recurring(
        "a: {class: A, schedule: every hour}\nb: {class: B, schedule: every hour}\n"
    )

    assert [task.key for task in project.load().tasks] == ["a", "b"]


def test_a_section_that_is_no_mapping_is_a_fault(project: Project) -> None:
    project.queue("default: [1]\n")

    fault = project.fault()

    assert (fault.message, fault.source) == (
        "section default must be a mapping",
        "config/queue.yml:1:10",
    )


def test_one_misspelt_key_does_not_make_the_others_sections(project: Project) -> None:
    project.queue("workers: [{}]\nsupervisr: {shutdown_timeout: 1}\n")

    assert project.fault().hint == 'did you mean "supervisor"?'


def test_merge_keys_bring_keys_that_their_mapping_lacks(project: Project) -> None:
    project.queue("""
        default: &default
          workers: [{threads: 4}]
          time_zone: Asia/Tokyo
        production:
          <<: *default
          time_zone: Asia/Seoul
    """)
    project.environ = {"JOBSD_ENV": "production"}

    options = project.load()

    assert ([worker.threads for worker in options.workers], options.time_zone) == (
        [4],
        "Asia/Seoul",
    )


def test_of_several_merged_mappings_the_first_counts(project: Project) -> None:
    project.queue("""
        workers:
          - &a {threads: 4}
          - &b {threads: 5, processes: 6}
          - <<: [*a, *b]
    """)

    assert [(w.threads, w.processes) for w in project.load().workers][2] == (4, 6)


def test_a_warning_shows_no_password(project: Project) -> None:
    project.queue("production: {workers: [{threads: 1}]}")
    project.environ["JOBSD_ENV"] = "postgresql://ann:pa55word@db/q"

    (warning,) = (each for each in project.load().warnings if "has sections" in each)

    assert "none for postgresql://ann:" in warning
    assert "pa55word" not in warning
