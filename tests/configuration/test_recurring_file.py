"""The keys of recurring.yml."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jobsd.recurring.definition import TaskDefinition

if TYPE_CHECKING:
    from configuration.project import Project


def test_a_task_takes_the_values_of_its_keys(project: Project) -> None:
    project.recurring("""
        beat:
          class: HeartbeatJob
          schedule: at 5am every day
          args: [1, two, {three: 3.5}]
          queue: slow
          priority: -5
          tags: [billing, eu]
          description: "Beats"
          time_zone: Asia/Tokyo
          enabled: false
          run_at_start: true
          on_missed: once
          overlap: skip
    """)

    assert project.load().tasks == (
        TaskDefinition(
            key="beat",
            class_name="HeartbeatJob",
            phrase="at 5am every day",
            arguments_json='[1,"two",{"$keywords":{"three":3.5}}]',
            queue_name="slow",
            priority=-5,
            tags=("billing", "eu"),
            description="Beats",
            time_zone="Asia/Tokyo",
            enabled=False,
            run_at_start=True,
            on_missed="once",
            overlap="skip",
            source="config/recurring.yml:2",
            arguments_source="config/recurring.yml:5:9",
        ),
    )


def test_tags_are_a_list_or_a_text_with_commas(project: Project) -> None:
    assert project.task("class: A, schedule: every hour, tags: 'a, b'").tags == ("a", "b")
    assert project.task("class: A, schedule: every hour, tags: []").tags == ()
    assert project.task("class: A, schedule: every hour").tags is None


def test_tags_that_no_job_can_have_are_a_fault(project: Project) -> None:
    tag = "t" * 101
    project.recurring(f"task: {{class: A, schedule: every hour, tags: [{tag}]}}\n")

    assert "at most 20 tags" in project.fault().message


def test_a_task_has_defaults(project: Project) -> None:
    project.queue("time_zone: Europe/Lisbon")

    task = project.task("class: A, schedule: every hour")

    assert (task.arguments, task.queue_name, task.priority, task.description) == (
        ([], {}),
        None,
        None,
        "",
    )
    assert (task.time_zone, task.enabled, task.run_at_start) == ("Europe/Lisbon", True, False)
    assert (task.on_missed, task.overlap) == ("skip", "allow")


@pytest.mark.behaviour(82)
def test_a_command_runs_in_a_queue_of_its_own(project: Project) -> None:
    command = project.task('command: "app.tasks.cleanup(batch=500)", schedule: every hour')
    moved = project.task('command: "app.tasks.cleanup()", schedule: every hour, queue: slow')

    assert (command.command, command.queue_name) == (
        "app.tasks.cleanup(batch=500)",
        "recurring",
    )
    assert moved.queue_name == "slow"


def test_the_example_of_the_seed_is_added_as_it_stands(project: Project) -> None:
    project.environ = {"JOBSD_ENV": "production"}
    project.recurring("""
        default:
          heartbeat:
            class: HeartbeatJob
            schedule: every 5 minutes
        production:
          daily_cleanup:
            class: DailyCleanupJob
            schedule: at 3am every day
    """)

    tasks = project.load().tasks

    assert [(task.key, task.class_name) for task in tasks] == [
        ("heartbeat", "HeartbeatJob"),
        ("daily_cleanup", "DailyCleanupJob"),
    ]


@pytest.mark.parametrize(
    "schedule",
    [
        "every 5 minutes",
        "every hour",
        "every hour at minute 12",
        "at 5am every day",
        '"*/15 * * * *"',
        "at 3am every day",
        '"@hourly"',
        '"every: 90m"',
    ],
)
def test_the_schedules_of_the_seed_are_good(project: Project, schedule: str) -> None:
    assert project.task(f"class: A, schedule: {schedule}").phrase == schedule.strip('"')


def test_an_interval_may_be_written_as_a_key(project: Project) -> None:
    assert project.task("class: A, every: 90m").phrase == "every: 90m"


@pytest.mark.behaviour(82)
@pytest.mark.parametrize(
    ("args", "positional", "named"),
    [
        ("5", "[5]", "{}"),
        ("text", "['text']", "{}"),
        ("[]", "[]", "{}"),
        ("", "[]", "{}"),
        ("{a: 1, b: [2]}", "[]", "{'a': 1, 'b': [2]}"),
        ("[[1]]", "[[1]]", "{}"),
        ("2024-01-01", "['2024-01-01']", "{}"),
        ("yes", "[True]", "{}"),
    ],
)
def test_arguments_are_one_value_a_list_or_a_mapping(
    project: Project, args: str, positional: str, named: str
) -> None:
    task = project.task(f"class: A, schedule: every hour, args: {args}")

    assert tuple(map(repr, task.arguments)) == (positional, named)


@pytest.mark.behaviour(82)
@pytest.mark.parametrize(
    ("args", "call"),
    [
        ("[1, {a: 2}]", "[1], {'a': 2}"),
        ("{a: 2}", "[], {'a': 2}"),
        ("[1, 2]", "[1, 2], {}"),
        ("[{a: 1}, 2]", "[{'a': 1}, 2], {}"),
    ],
)
def test_a_mapping_at_the_end_holds_named_arguments(
    project: Project, args: str, call: str
) -> None:
    task = project.task(f"class: A, schedule: every hour, args: {args}")

    assert str(task.arguments) == f"({call})"


@pytest.mark.behaviour(4)
@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("class: A", "task.schedule is missing", 'such as "every 5 minutes"'),
        (
            "class: A, schedul: every hour",
            'unknown key "schedul" in task',
            'did you mean "schedule"?',
        ),
        (
            "schedule: every hour",
            "task has neither class nor command",
            "write what the task runs",
        ),
        (
            "clas: A, schedule: every hour",
            'unknown key "clas" in task',
            'did you mean "class"?',
        ),
        (
            "class: A, command: a.b(), schedule: every hour",
            "task.command can't be used together with class",
            "keep one of the two",
        ),
        (
            "command: a.b(), args: 1, schedule: every hour",
            "task.args can't be used together with command",
            "write them into the command",
        ),
        (
            "class: A, schedule: every hour, every: 1h",
            "task.every can't be used together with schedule",
            "keep one of the two",
        ),
        ("class: A, schedule: ", "task.schedule is missing", "such as"),
        ("class: A, schedule: [every hour]", "task.schedule must be a text, not a list", ""),
        (
            "class: A, every: soon",
            'task.every is not a schedule: "soon" is not an interval',
            "write",
        ),
        (
            "class: A, schedule: every hour, priority: 1.5",
            "task.priority must be a whole number from -2147483648 to 2147483647, not 1.5",
            "",
        ),
        (
            "class: A, schedule: every hour, queue: 'a*'",
            'task.queue must be the name of one queue, without commas and stars, not "a*"',
            "",
        ),
        (
            "class: A, schedule: every hour, on_missed: al",
            'task.on_missed must be skip, once or all, not "al"',
            'did you mean "all"?',
        ),
        (
            "class: A, schedule: every hour, overlap: never",
            'task.overlap must be allow or skip, not "never"',
            "",
        ),
        (
            "class: A, schedule: every hour, time_zone: Mars/Base",
            'task.time_zone can\'t be used: there is no time zone "Mars/Base"',
            "",
        ),
        (
            "command: os.system(x), schedule: every hour",
            "task.command can't be read: an argument must be a literal; nothing is evaluated",
            "write a dotted call",
        ),
    ],
)
def test_a_fault_of_a_task_is_reported(
    project: Project, written: str, message: str, hint: str
) -> None:
    project.recurring(f"good: {{class: A, schedule: every hour}}\ntask: {{{written}}}\n")

    fault = project.fault()

    assert fault.message == message
    assert fault.hint.startswith(hint)


def test_a_schedule_with_a_misleading_phrase_is_refused(project: Project) -> None:
    project.recurring("task:\n  class: A\n  schedule: every 90 minutes\n")

    fault = project.fault()

    assert fault.source == "config/recurring.yml:3:13"
    assert fault.message.startswith("task.schedule is not a schedule: ")
    assert "every: 90m" in fault.hint


def test_a_surprising_schedule_is_a_warning(project: Project) -> None:
    project.queue("jobs: {}")
    project.recurring("task:\n  class: A\n  schedule: every 7 minutes\n")

    (warning,) = project.load().warnings

    assert warning.startswith("config/recurring.yml:1 ")


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("", "to turn a task off write `enabled: false` below its key"),
        ("every hour", ""),
    ],
)
def test_a_task_that_is_no_mapping_is_a_fault(
    project: Project, written: str, hint: str
) -> None:
    project.recurring(f"good: {{class: A, schedule: every hour}}\nnightly: {written}\n")

    fault = project.fault()

    assert (fault.message, fault.hint) == ("nightly must be a mapping", hint)


def test_a_key_outside_of_its_task_gets_a_hint_about_its_place(project: Project) -> None:
    project.recurring("good: {class: A, schedule: every hour}\nschedule: every hour\n")

    assert project.fault().hint == '"schedule" belongs below the key of a task'


def test_an_empty_file_holds_no_tasks(project: Project) -> None:
    project.recurring("# nothing yet\n")

    assert project.load().tasks == ()


def test_arguments_that_are_too_large_are_refused(project: Project) -> None:
    quotes = '"' * 600_000  # each is two bytes of JSON
    project.recurring(f"task: {{class: A, schedule: every hour, args: '{quotes}'}}\n")

    assert project.fault().message.startswith("task.args can't be stored: the arguments take")


@pytest.mark.parametrize("field", ["args", "description"])
def test_a_text_that_cannot_be_stored_is_one_fault(project: Project, field: str) -> None:
    project.recurring(f'task: {{class: A, schedule: every hour, {field}: "a\\0b"}}\n')

    assert project.fault().message == "a text can't hold a NUL character"


@pytest.mark.parametrize("key", ["a\tb", "a\nb", "x" * 256])
def test_a_key_is_printable_and_not_too_long(project: Project, key: str) -> None:
    project.recurring(f"? {json.dumps(key)}\n: {{class: A, schedule: every hour}}\n")

    assert project.fault().message == (
        "the key of a task must have 1 to 255 bytes of printable text"
    )
