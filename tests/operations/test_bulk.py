"""Which jobs an act on many is done to, in which order, and up to which."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from jobsd.acts import listing
from jobsd.operations import bulk
from jobsd.operations.bulk import ACTS, BulkAct, How

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobsd.database.connection import Session

NOTHING: Any = cast("Any", None)


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> dict[str | None, list[list[int]]]:
    """The ids that a search finds in each state, by pages, the newest first."""
    found: dict[str | None, list[list[int]]] = {}

    def id_pages(
        _session: Session, meant: listing.Filter, *, before: int = listing.BEYOND
    ) -> Iterator[list[int]]:
        for page in found.get(meant.state, [[]]):
            yield [each for each in page if each < before]

    monkeypatch.setattr(listing, "id_pages", id_pages)
    return found


def test_a_count_reaches_up_to_the_highest_id_of_all_states(
    pages: dict[str | None, list[list[int]]],
) -> None:
    act = ACTS["discard"]
    first, second = act.states[:2]
    pages |= {first: [[9, 4], [2]], second: [[7]]}

    assert bulk.count(NOTHING, act, listing.Filter()) == bulk.Counted(4, 9)


def test_an_act_goes_over_all_counted_jobs_by_steps_the_oldest_of_a_page_first(
    pages: dict[str | None, list[list[int]]],
) -> None:
    pages["failed"] = [[*range(2_000, 799, -1)], [*range(700, 0, -1)]]
    chosen: list[list[int]] = []
    noted: list[tuple[int, int]] = []

    def do(_session: Session, ids: Sequence[int], _how: How) -> Iterator[int]:
        chosen.append(list(ids))
        yield len(ids) - 1

    def add(jobs: int, skipped: int) -> None:
        noted.append((jobs, skipped))

    act = BulkAct("retry", ("failed",), "operator", do)
    meant, written = listing.Filter("failed"), cast("Any", SimpleNamespace(add=add))
    bulk.perform(NOTHING, act, meant, 1_999, How(), written)

    assert [len(ids) for ids in chosen] == [500, 500, 200, 500, 200]
    assert [each for ids in chosen for each in ids] == [*range(800, 2_000), *range(1, 701)]
    assert noted == [(len(ids) - 1, 1) for ids in chosen]
