"""What a search means where it is odd: moments, too many parts, several faults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobsd.acts.listing import Filter
from jobsd.operations.search import read_search


@pytest.mark.parametrize("zone", ["", "+00:00", "Z"])
def test_a_moment_without_a_zone_is_in_utc(zone: str) -> None:
    moment = datetime.now(UTC).replace(microsecond=0, tzinfo=None) - timedelta(hours=2)

    found = read_search(f"after:{moment.isoformat()}{zone}")

    assert found.problems == ()
    assert 7_199 <= (found.meant.since_s or 0) <= 7_260


def test_a_moment_that_is_still_to_come_is_now() -> None:
    assert read_search("after:2100-01-01").meant.since_s == 0


def test_parts_beyond_the_limit_of_a_search_are_reported_and_narrow_nothing() -> None:
    found = read_search(" ".join(f"word{n}" for n in range(21)))

    assert found.problems == ("a search has at most 20 parts",)
    assert found.meant.words == tuple(f"word{n}" for n in range(20))


def test_each_fault_of_a_search_is_reported() -> None:
    found = read_search("after:soon state:gone nothing:1")

    assert found.meant == Filter()
    assert [each.partition(":")[0].partition(" ")[0] for each in found.problems] == [
        "'soon'",
        "nothing",
        "'gone'",
    ]
