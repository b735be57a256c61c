"""A name that guesses passwords must pause, and no other one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import Browser, basic, made
from jobsd.configuration.users import User
from jobsd.web import logins

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.database.connection import Target

ANN = User("ann", "viewer", password="correct horse", token="t0ken")
RIGHT = basic("ann", "correct horse")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes only if a test says so."""
    time = [1_000.0]
    monkeypatch.setattr(logins, "monotonic", lambda: time[0])
    return time


@pytest.fixture
def guarded(target: Target, now: list[float]) -> Browser:
    """A dashboard that knows one user."""
    del now
    return Browser(made(target, open_role=None, users=(ANN,)))


def _elsewhere(browser: Browser) -> Browser:
    def asked(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = browser.application(
            {**environ, "REMOTE_ADDR": "192.0.2.1"}, start_response
        )
        return answer

    return Browser(asked)


def _guesses(browser: Browser, count: int) -> list[int]:
    return [browser.get("/", **basic("ann", f"guess {n}")).status for n in range(count)]


def test_after_five_failed_log_ins_a_name_must_pause(guarded: Browser) -> None:
    guesses = _guesses(guarded, 6)

    refused = guarded.get("/", **RIGHT)
    assert guesses == [401] * 5 + [429]
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")


def test_each_pause_is_longer_up_to_a_minute(guarded: Browser, now: list[float]) -> None:
    _guesses(guarded, logins.FREE)

    pauses: list[int] = []
    for _ in range(8):
        pause = int(guarded.get("/", **RIGHT).headers["Retry-After"])
        pauses.append(pause)
        now[0] += pause
        _guesses(guarded, 1)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_the_right_password_after_the_pause_ends_the_count(
    guarded: Browser, now: list[float]
) -> None:
    _guesses(guarded, logins.FREE)
    now[0] += 1

    status = guarded.get("/", **RIGHT).status

    assert status == 200
    assert _guesses(guarded, 6) == [401] * 5 + [429]


def test_a_browser_that_has_logged_in_before_never_pauses(guarded: Browser) -> None:
    first = guarded.get("/", **RIGHT).status
    guesses = _guesses(guarded, 8)

    assert (first, guarded.get("/", **RIGHT).status) == (200, 200)
    # Its requests don't free the guesses at its address.
    assert [*guesses, *_guesses(guarded, 1)] == [401] * 5 + [429] * 4


def test_guesses_keep_no_other_name_no_other_address_and_no_token_out(guarded: Browser) -> None:
    _guesses(guarded, 6)

    assert guarded.get("/", **basic("bob", "guess")).status == 401
    assert _elsewhere(guarded).get("/", **RIGHT).status == 200
    assert guarded.get("/", Authorization="Bearer t0ken").status == 200


def test_a_failure_long_ago_is_forgotten_for_newer_ones(
    guarded: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "KEPT_MAX", 2)
    _guesses(guarded, 5)

    others = [guarded.get("/", **basic(name, "guess")).status for name in ("bob", "eve")]

    assert others == [401, 401]
    assert guarded.get("/", **RIGHT).status == 200
