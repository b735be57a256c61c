"""What is hidden is hidden wherever it stands, and nothing else is lost."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobsd.acts.inspect import FILTERED
from jobsd.job_states import STATES
from jobsd.operations import jobs, processes
from jobsd.operations.shown_arguments import ShownArguments, call_text
from jobsd.processes import registry
from jobsd.processes.registry import ProcessRow


@pytest.mark.parametrize(
    ("names", "given", "shown"),
    [
        (["user"], [1, 2, 3], [1, FILTERED, FILTERED]),
        (["user", "*token"], [1, 2, 3], [1, FILTERED, FILTERED]),
        (["token", "*rest"], [1, 2, 3], [FILTERED, 2, 3]),
        (["user"], [{"token": 1, "n": 2}], [{"token": FILTERED, "n": 2}]),
        (["user"], [[{"token": 1}]], [[{"token": FILTERED}]]),
        (None, [1, {"$keywords": {"n": 2}}], [FILTERED, {"$keywords": {"n": 2}}]),
    ],
)
def test_arguments_are_hidden_by_name_and_none_is_left_out(
    names: list[str] | None, given: list[Any], shown: list[Any]
) -> None:
    assert ShownArguments(["token"], lambda _: names).of("x", given) == shown


def test_a_command_hides_nested_secrets_too() -> None:
    hides = ShownArguments(["token"], lambda _: None)

    shown = hides.command("app.sync(7, token='x', options={'token': 'y', 'size': 2})")

    assert shown is not None
    assert "'x'" not in shown
    assert "'y'" not in shown
    assert "'size': 2" in shown


def _examined(state: str, reason: str | None = None, *errors: dict[str, Any]) -> jobs.Examined:
    found = SimpleNamespace(job=SimpleNamespace(state=state), reason=reason)
    attempts: Any = [SimpleNamespace(error=error) for error in errors]
    return jobs.Examined(cast("Any", found), attempts, [])


@pytest.mark.parametrize("state", STATES)
def test_a_job_has_the_error_of_its_last_attempt_until_it_succeeds(state: str) -> None:
    error = {"type": "ValueError", "message": "no"}

    assert _examined(state, None, {}, error).error == (None if state == "finished" else error)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["x" * 1_992], f"send('{'x' * 1_992}')"),
        (["x" * 1_993], f"send('{'x' * 1_993}'…"),
        (["x" * 9_999], f"send('{'x' * 1_994}…"),
        ('["xxxxx', "send(…)"),
    ],
    ids=["whole", "one too long", "long", "unread"],
)
def test_a_call_is_cut_at_two_thousand_letters(arguments: Any, text: str) -> None:
    assert call_text("shop.mail.send", arguments) == text


@pytest.mark.parametrize(
    ("reason", "errors", "said"),
    [
        ("expired", [], "expired"),
        ("cancelled", [{"type": "Cancelled", "message": ""}], "cancelled"),
        (None, [], "by hand"),
        (None, [{"type": "ValueError", "message": "no"}], "ValueError: no"),
    ],
)
def test_a_discarded_job_shows_its_reason(
    reason: str | None, errors: list[dict[str, Any]], said: str
) -> None:
    assert _examined("discarded", reason, *errors).reason == said


def _row(metadata: dict[str, Any], age_s: float = 0.0) -> ProcessRow:
    now = datetime.now(UTC)
    return ProcessRow(1, "worker", "w", os.getpid(), "h", None, age_s, now, metadata)


def test_a_process_with_a_recycled_pid_is_gone() -> None:
    own = dict(registry.identity(os.getpid()))

    assert processes.life(_row({**own}), 60) == "alive"
    assert processes.life(_row({**own, "started": "1"}), 60) == "gone"
    assert processes.life(_row({**own, "started": "1", "boot": "other"}), 60) == "alive"


@pytest.mark.parametrize(("age_s", "life"), [(100, "alive"), (200, "silent")])
def test_a_process_is_judged_by_the_longer_threshold(age_s: float, life: str) -> None:
    theirs = {"heartbeat_interval": 30, "process_alive_threshold": 150, "hang_timeout": 90}

    assert processes.life(_row({"boot": "other", **theirs}, age_s), 60) == life
