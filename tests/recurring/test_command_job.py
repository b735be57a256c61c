"""A command is called in the worker, and nothing but the operator's own words decides what."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from jobsd.errors import NotFoundError
from jobsd.jobs.definition import Job
from jobsd.recurring.command_job import RecurringCommandJob, find_function
from jobsd.recurring.tasks import RecurringTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]


class CommandTestJob(Job):
    performed: ClassVar[Calls] = []

    def perform(self, *args: Any, **kwargs: Any) -> None:
        self.performed.append((args, kwargs))


@pytest.fixture
def calls() -> Iterator[Calls]:
    """A module `commanded` whose functions write down how they are called."""
    made = ModuleType("commanded")
    heard: Calls = []
    made.clean = lambda *args, **kwargs: heard.append((args, kwargs))  # type: ignore[attr-defined]
    made.Cleaner = type("Cleaner", (), {"run": staticmethod(made.clean)})  # type: ignore[attr-defined]
    made.number = 3  # type: ignore[attr-defined]
    made.CommandTestJob = CommandTestJob  # type: ignore[attr-defined]
    sys.modules["commanded"] = made
    yield heard
    del sys.modules["commanded"]


def _schedule(command: str) -> None:
    RecurringTask.schedule("clean", schedule="@hourly", command=command)


@pytest.mark.behaviour(82)
@pytest.mark.usefixtures("default_client")
def test_the_function_is_called_with_the_arguments_as_written(calls: Calls) -> None:
    _schedule("commanded.clean(1, 'two', days=3)")

    RecurringCommandJob.perform_now("clean")

    assert calls == [((1, "two"), {"days": 3})]


@pytest.mark.usefixtures("default_client")
def test_what_is_called_stands_in_the_table_not_in_the_payload(calls: Calls) -> None:
    _schedule("commanded.clean()")

    with pytest.raises(NotFoundError):
        RecurringCommandJob.perform_now("commanded.clean(99)")

    assert calls == []


@pytest.mark.usefixtures("default_client")
def test_a_task_with_a_class_has_no_command() -> None:
    RecurringTask.schedule("other", schedule="@hourly", class_name="Any")

    with pytest.raises(NotFoundError):
        RecurringCommandJob.perform_now("other")


@pytest.mark.usefixtures("default_client")
def test_a_task_that_is_gone_has_no_command() -> None:
    with pytest.raises(NotFoundError, match="'gone'"):
        RecurringCommandJob.perform_now("gone")


def test_a_function_inside_a_class_is_found(calls: Calls) -> None:
    find_function("commanded.Cleaner.run")(7)

    assert calls == [((7,), {})]


def test_a_function_of_a_module_that_nobody_has_imported_is_found() -> None:
    assert find_function("json.decoder.JSONDecoder").__name__ == "JSONDecoder"


@pytest.mark.usefixtures("calls")
def test_a_job_class_is_performed() -> None:
    CommandTestJob.performed.clear()

    find_function("commanded.CommandTestJob")(1)

    assert CommandTestJob.performed == [((1,), {})]


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
def test_a_name_that_means_nothing_is_told(target: str, missing: str) -> None:
    with pytest.raises(NotFoundError, match=missing):
        find_function(target)


def test_an_error_inside_the_module_is_its_own(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_inside.py").write_text("import no_such_module_at_all\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        find_function("broken_inside.clean")
