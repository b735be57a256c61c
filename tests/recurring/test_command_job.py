"""A command is called in the worker, and only what the operator has written decides what."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.errors import NotFoundError, RefusedError
from jobsd.jobs import registry
from jobsd.jobs.current import CurrentJob, running
from jobsd.recurring.command_job import (
    COMMAND_JOB,
    OURS,
    AllowedCalls,
    find_function,
    register,
)
from jobsd.recurring.tasks import RecurringTask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]

MODULE = """
import os
from os import system
from jobsd import Job, current_job, job

number = 3
calls = []

def clean(*args, **kwargs):
    calls.append((args, kwargs))

def _hidden():
    clean("hidden")

class Cleaner:
    run = staticmethod(clean)

@job(name="a job of the module commanded")
def wash(*args):
    clean(*args)

@job
def report():
    calls.append(current_job())

class ClassThatTells(Job):
    def perform(self):
        calls.append(current_job())

class CommandTestJob(Job):
    def perform(self, *args, **kwargs):
        clean(*args, **kwargs)
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """A module `commanded` whose functions write down how they are called; `import:` has it."""
    (tmp_path / "commanded.py").write_text(MODULE)
    (tmp_path / "unmentioned.py").write_text("raise AssertionError('it is imported')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    register(["commanded"])
    made: Calls = importlib.import_module("commanded").calls
    yield made
    register()
    del sys.modules["commanded"]


def _schedule(command: str) -> None:
    RecurringTask.schedule("clean", schedule="@hourly", command=command)


def _perform(key: str) -> None:
    registry.get(COMMAND_JOB).perform(key)


def _call(command: str, *args: object) -> None:
    """Call the function of a command, as where `import:` has the module `commanded`."""
    AllowedCalls(frozenset({"commanded"})).function_of(command)(*args)


@pytest.mark.behaviour(82)
@pytest.mark.usefixtures("default_client")
def test_the_function_is_called_with_the_arguments_as_written(calls: Calls) -> None:
    _schedule("commanded.clean(1, 'two', days=3)")

    _perform("clean")

    assert calls == [((1, "two"), {"days": 3})]


@pytest.mark.usefixtures("default_client")
def test_the_command_is_in_the_table_and_not_in_the_payload(calls: Calls) -> None:
    _schedule("commanded.clean()")

    with pytest.raises(NotFoundError):
        _perform("commanded.clean(99)")

    assert calls == []


@pytest.mark.usefixtures("default_client")
def test_a_task_with_a_class_has_no_command() -> None:
    RecurringTask.schedule("other", schedule="@hourly", class_name="Any")

    with pytest.raises(NotFoundError):
        _perform("other")


@pytest.mark.usefixtures("default_client")
def test_a_task_that_is_gone_has_no_command() -> None:
    with pytest.raises(NotFoundError, match="'gone'"):
        _perform("gone")


@pytest.mark.behaviour(82)
@pytest.mark.usefixtures("calls", "default_client")
@pytest.mark.parametrize(
    "command",
    [
        "os.system('true')",
        "subprocess.run(['true'])",
        "unmentioned.clean()",
        "commanded.os.system('true')",
        "commanded.system('true')",
        "commanded._hidden()",
        "commanded.__loader__.set_data('commanded.py', b'')",
        "commanded.clean.__globals__.clear()",
        "commanded.calls.append(1)",
        "commanded_not.clean()",
        "commanded.CommandTestJob.enqueue()",
        "jobsd.configure('postgresql://elsewhere')",
        "jobsd.queues.STATEMENTS.clear()",
        "jobsd.recurring.command_job.register(['os'])",
        "jobsd.jobs.registry.load_modules(['unmentioned'], '/')",
    ],
)
def test_a_command_of_the_table_calls_only_functions_of_imported_modules(
    command: str,
) -> None:
    _schedule(command)

    with pytest.raises(RefusedError, match="it is defined in no module of `import:`"):
        _perform("clean")

    assert "unmentioned" not in sys.modules


@pytest.mark.usefixtures("default_client")
def test_a_command_that_the_own_file_has_word_for_word_is_called(calls: Calls) -> None:
    register([], ["commanded.clean(1)"])
    for command in ("commanded.clean(1)", "commanded.clean(2)"):
        _schedule(command)
        if command == "commanded.clean(1)":
            _perform("clean")
        else:
            with pytest.raises(RefusedError):
                _perform("clean")
        RecurringTask.unschedule("clean")

    assert calls == [((1,), {})]


@pytest.mark.parametrize("target", sorted(OURS))
def test_every_process_calls_the_functions_of_jobsd(target: str) -> None:
    assert callable(AllowedCalls().function_of(f"{target}()"))
    assert callable(
        AllowedCalls().function_of("SolidQueue::Job.clear_finished_in_batches(batch_size: 5)")
    )


def test_a_function_inside_a_class_is_found(calls: Calls) -> None:
    _call("commanded.Cleaner.run", 7)

    assert calls == [((7,), {})]


@pytest.mark.parametrize("name", ["ClassThatTells", "report"])
def test_a_job_that_a_command_calls_is_part_of_the_running_job(
    calls: list[Any], name: str
) -> None:
    mine = CurrentJob(41, 2, "recurring", "RecurringCommandJob")

    with running(mine):
        _call(f"commanded.{name}()")

    assert calls == [mine]


@pytest.mark.parametrize("name", ["CommandTestJob", "wash"])
def test_a_job_is_performed(calls: Calls, name: str) -> None:
    _call(f"commanded.{name}()", 1)

    assert calls == [((1,), {})]


def test_a_function_of_a_module_that_is_not_imported_is_found() -> None:
    assert find_function("json.decoder.JSONDecoder").__name__ == "JSONDecoder"


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("target", "missing"),
    [
        ("nowhere.at_all", "no module 'nowhere'"),
        ("commanded.nothing", "no 'nothing'"),
        ("commanded.Cleaner.nothing", "no 'nothing'"),
        ("commanded.number", "it is a int"),
    ],
)
def test_a_name_that_does_not_exist_is_reported(target: str, missing: str) -> None:
    with pytest.raises(NotFoundError, match=missing):
        find_function(target)


def test_an_error_inside_the_module_is_its_own(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_inside.py").write_text("import no_such_module_at_all\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        find_function("broken_inside.clean")
