"""A claim brings no more bytes than a worker can bear."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.worker.constants import FEW

from .bodies import note, noted

if TYPE_CHECKING:
    from .conftest import Count, Driven, MakeWorker


@job
def note_size(number: int, text: str) -> None:
    noted.append((number, len(text)))


def _text(size: int) -> str:
    # The server can't compress it.
    return os.urandom(size // 2).hex()


def _observed_claims(driven: Driven) -> list[int]:
    """Return a list that gets the bytes of arguments of each claim."""
    sizes: list[int] = []
    pace = driven.worker.claiming.prefetch
    plain = pace.observe_sizes

    def observe_sizes_and_note(jobs: int, size: int, *, withheld: bool) -> None:
        sizes.append(size)
        plain(jobs, size, withheld=withheld)

    pace.observe_sizes = observe_sizes_and_note  # type: ignore[method-assign]
    return sizes


@pytest.mark.failure(
    "Hundreds of jobs with large arguments lie behind many quick ones.",
    "One claim brings a few megabytes; the other jobs come with the next claims, in their"
    " order",
)
def test_a_claim_brings_few_megabytes_whatever_lies_in_the_queue(
    make_worker: MakeWorker, count: Count
) -> None:
    text = _text(60_000)
    enqueue_many(note.with_args(i) for i in range(700))
    enqueue_many(note_size.with_args(i, text) for i in range(200))
    driven = make_worker(threads=1, prefetch=500)
    sizes = _observed_claims(driven)

    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 900, within_s=30)

    assert noted == [*range(700), *((i, 60_000) for i in range(200))]
    assert max(sizes) < 4_000_000


def test_jobs_that_are_too_large_to_be_claimed_together_are_claimed_by_fours(
    make_worker: MakeWorker, count: Count
) -> None:
    text = _text(1_000_000)
    enqueue_many(note.with_args(i) for i in range(FEW))
    enqueue_many(note_size.with_args(i, text) for i in range(10))
    driven = make_worker(threads=1, prefetch=500)
    sizes = _observed_claims(driven)

    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 10 + FEW, within_s=30)

    assert noted == [*range(FEW), *((i, 1_000_000) for i in range(10))]
    assert sizes[1] == 0
    assert 4_000_000 < max(sizes) < 5_000_000
