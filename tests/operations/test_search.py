"""What a search means where it is odd: moments, too many parts, several faults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobsd.acts.listing import Filter
from jobsd.acts.periods import Lasting, Period
from jobsd.operations.search import Search, read_search


@pytest.mark.parametrize("zone", ["", "+00:00", "Z"])
def test_a_moment_without_a_zone_is_in_utc(zone: str) -> None:
    moment = datetime.now(UTC).replace(microsecond=0, tzinfo=None) - timedelta(hours=2)

    found = read_search(f"after:{moment.isoformat()}{zone}")

    assert found.problems == ()
    assert found.meant.enqueued == Period(moment.replace(tzinfo=UTC))


@pytest.mark.parametrize("name", ["started", "finished", "failed"])
def test_a_time_selects_by_a_start_or_an_end(name: str) -> None:
    meant = read_search(f"{name}:3h..1h").meant

    assert meant.given() == {
        name: Period(timedelta(hours=3), timedelta(hours=1)),
        **({"state": "failed"} if name == "failed" else {}),
    }


@pytest.mark.parametrize("text", ["after:3h..1h", "before:3h..1h", "after:3h before:1h"])
def test_a_range_of_enqueues_is_written_in_three_ways(text: str) -> None:
    found = read_search(text)

    assert found == Search(Filter(enqueued=Period(timedelta(hours=3), timedelta(hours=1))))


@pytest.mark.parametrize("name", ["ran", "waited"])
def test_a_length_is_sought_in_the_last_day_or_the_given_period(name: str) -> None:
    day, hour = Period(timedelta(days=1)), Period(timedelta(hours=1))
    length = Lasting(least_s=10)

    assert read_search(f"{name}:>10s x").meant.given() == {
        "enqueued": day,
        name: length,
        "words": ("x",),
    }
    assert read_search(f"{name}:>10s finished:1h").meant.given() == {
        "finished": hour,
        name: length,
    }
    [problem] = read_search(f"{name}:10s").problems
    assert problem == f"{name}: '10s' is not a length of time; write >10s, <1m or 10s..1m"


@pytest.mark.parametrize("text", ["after:3h..1h before:2h", "before:..1h after:3h..0s"])
def test_a_side_of_a_range_is_given_once(text: str) -> None:
    found = read_search(text)

    assert found.meant == Filter()
    assert found.problems == ("after: and before: are both given, one of them with a range",)


def test_parts_beyond_the_limit_of_a_search_are_reported_and_narrow_nothing() -> None:
    found = read_search(" ".join(f"word{n}" for n in range(21)))

    assert found.problems == ("a search has at most 20 parts",)
    assert found.meant.words == tuple(f"word{n}" for n in range(20))


def test_each_fault_of_a_search_is_reported() -> None:
    found = read_search("after:soon state:gone nothing:1")

    assert found.meant == Filter()
    assert [each.partition(":")[0].partition(" ")[0] for each in found.problems] == [
        "after",
        "nothing",
        "'gone'",
    ]


def test_a_filter_that_is_given_twice_is_reported_unless_it_is_a_tag() -> None:
    found = read_search("queue:mail queue:bulk tag:a tag:b")

    assert found.problems == ("queue: is given twice; only tag: can be",)
    assert found.meant.tags == ("a", "b")


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ("5", ('"5"', "5")),
        ("-1.5", ('"-1.5"', "-1.5")),
        ("true", ('"true"', "true")),
        ("five", ('"five"',)),
        ("NaN", ('"NaN"',)),
        ("1e999", ('"1e999"',)),
    ],
)
def test_an_argument_is_sought_as_a_text_and_as_json(
    value: str, values: tuple[str, ...]
) -> None:
    found = read_search(f"args.n:{value}")

    assert (found.meant.argument, found.meant.values, found.problems) == ("n", values, ())
