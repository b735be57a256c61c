"""What is computed of figures that the tables give, without any table."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from jobsd.acts import inspect
from jobsd.operations import failures, gauges, history, next_runs, overview, queues
from jobsd.operations.history import SPANS, Done
from jobsd.operations.words import length
from jobsd.scoreboard.counters import BUCKETS_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session

NONE = [0] * len(BUCKETS_S)


def _answering(fetch: Callable[..., Any]) -> Session:
    """Return a session that answers by a function."""
    return cast("Session", SimpleNamespace(fetch=fetch))


def test_figures_of_one_queue_or_kind_are_put_together() -> None:
    unknown = [
        ("mail", "a", 3, None, 5.0),
        ("mail", "b", 2, None, 2.0),
        ("slow", "c", 1, None, 1.0),
    ]

    assert gauges._unknown(unknown) == ({"mail": 5, "slow": 1}, {"mail": 5.0, "slow": 1.0})
    assert gauges._by_kind([("worker", "w-1", 2, 0.1), ("worker", None, 1, 0.2)]) == {
        "worker": 3
    }


def test_a_next_run_that_has_passed_gives_way_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime(2030, 1, 1, 12, 1, tzinfo=UTC)
    monkeypatch.setattr(next_runs, "_known", {})
    monkeypatch.setattr(next_runs, "KEPT_MAX", 2)
    monkeypatch.setattr(next_runs, "utc_now", lambda: now)

    def minute(key: str = "beat", schedule: str = "every 5 minutes") -> int | None:
        found = next_runs.next_run(key, schedule, "UTC")
        return None if found is None else datetime.fromtimestamp(found, UTC).minute

    first = minute()
    now += timedelta(minutes=6)

    assert (first, minute(), minute()) == (5, 10, 10)
    assert minute(schedule="never, or so") is None
    assert [minute(f"task {n}") for n in range(5)] == [10] * 5
    assert len(next_runs._known) <= 2


def test_steps_written_by_a_server_with_a_fast_clock_are_shown() -> None:
    ahead = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=3)
    row = (ahead, 1, 2, 3, 4, 0.0, 8.0, NONE, [*NONE[:-1], None])

    found = history.steps(_answering(lambda *_: [row]), SPANS[0])

    assert len(found) == 60
    assert found[-1] == (ahead, Done(1, 2, 3, 4))
    assert (found[-1][1].attempts, found[-1][1].failing) == (10, 0.5)


def test_what_took_longer_than_all_buckets_took_as_long_as_the_last() -> None:
    assert history.percentile([*NONE, 5], 0.5) == BUCKETS_S[-1]
    assert history.percentile([*NONE, 0], 0.5) is None


def test_no_more_threads_are_busy_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def claimed(_session: Session) -> dict[int, int]:
        return {1: 9, 2: 1, 3: 4}

    monkeypatch.setattr(inspect, "claimed", claimed)
    alive: list[dict[str, Any]] = [
        {"id": 1, "kind": "worker", "metadata": {"threads": 3}},
        {"id": 2, "kind": "worker", "metadata": {"threads": 5}},
        {"id": 3, "kind": "dispatcher", "metadata": {}},
        {"id": 4, "kind": "worker", "metadata": {}},
    ]

    assert overview.threads(_answering(list), alive) == overview.Threads(4, 9)


def _queue(name: str, ready: int, age_s: float | None, **jobs: int) -> dict[str, Any]:
    age = None if age_s is None else timedelta(seconds=age_s)
    return {"name": name, "ready": ready, "oldest_age": age, "jobs": {"ready": ready, **jobs}}


def test_the_longest_queue_comes_first_then_the_longest_waiting() -> None:
    rows = [
        _queue("a", 1, 5.0),
        _queue("b", 1, 9.0),
        _queue("c", 0, None, failed=1),
        _queue("d", 0, None, failed=7),
        _queue("e", 3, 1.0),
    ]

    assert [row["name"] for row in queues.by_urgency(rows)] == ["e", "b", "a", "d", "c"]


def test_only_living_workers_that_are_not_quiet_take_jobs() -> None:
    def worker(life: str = "alive", kind: str = "worker", **more: object) -> dict[str, Any]:
        facts = {"queues": "mail,slow*", **more}
        return {"id": 1, "kind": kind, "life": life, "metadata": facts}

    processes = [worker(), worker("silent"), worker(quiet=True), worker(kind="dispatcher")]
    rows = [{"name": name} for name in ("mail", "slower", "other")]

    assert queues.takers(rows, processes) == {"mail": 1, "slower": 1, "other": 0}


def test_folding_goes_on_as_long_as_there_is_much_to_fold() -> None:
    left = [failures.COUNTED_MAX, failures.COUNTED_MAX, 5, 4]

    failures.fold(_answering(lambda *_: [(left.pop(0),)]))

    assert left == [4]


def test_a_message_of_several_queues_counts_for_all_of_them() -> None:
    def row(pattern: str, jobs: int) -> dict[str, Any]:
        return {"pattern": pattern, "jobs": jobs, "message": pattern, "last_id": jobs}

    found = failures._of_all_queues([row("a", 3), row("b", 4), row("a", 2), row("b", 0)])

    assert [(each["pattern"], each["jobs"]) for each in found] == [("a", 5), ("b", 4)]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3_605, "1h5s"), (86_400 + 60, "1d1m"), (93_784, "1d2h"), (3_600, "1h")],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert length(seconds) == text


def test_ready_jobs_that_are_counted_one_by_one_are_not_counted_together_as_well() -> None:
    read: dict[str, list[tuple[Any, ...]]] = {
        "ready": [("mail", 5, 1.0), ("bulk", None, 2.0)],
        "elsewhere": [("mail", "claimed", 2, 9.0), ("bulk", "scheduled", 3, None)],
        "together": [("mail", 6), ("bulk", 70), ("new", 1)],
    }

    depths, claim_ages_s = queues.by_queue(read)

    assert depths == {
        "mail": {"claimed": 2, "ready": 5},
        "bulk": {"scheduled": 3, "ready": 70},
    }
    assert claim_ages_s == {"mail": 9.0}
