"""Trees and programs on a cluster of Patroni: it switches over and fails over, under load."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from outages.ordeal import Ordeal, connect, ordeal
from outages.patroni import START_S, Member, Patroni, patroni
from waiting import Stopwatch, let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(900)]

RECOVERY_S = 2.0
"""After the first write of a plain client by the same URL."""
BEHIND_S = 1.5
ROUNDS = 2

Trees = list[tuple[Ordeal, str]]
"""Each with the URL by which it reaches the database."""


@contextlib.contextmanager
def _trees(made: Patroni, root: Path) -> Generator[Trees]:
    """Two trees under load, each in a database: by a URL with both hosts, and by PgBouncer."""
    for way in ("direct", "pooled"):
        made.make_database(way)
        (root / way).mkdir()
    direct, past = made.url("direct"), made.url("pooled")
    with (
        made.pooled("pooled") as pooled,
        ordeal(root / "direct", direct) as first,
        ordeal(root / "pooled", pooled, database='{wakeups: "off"}', direct_url=past) as second,
    ):
        trees = [(first, direct), (second, pooled)]
        for tree, _ in trees:
            tree.begin()
        yield trees


@contextlib.contextmanager
def _followed(made: Patroni, standby: Member) -> Generator[None]:
    """Wait for the standby to be the primary, and note from when to when that was to come."""
    began = time.time()
    yield
    wait_until(lambda: standby.has_part("primary"), START_S, made.reported)
    made.failovers.append((began, time.time()))


def _switch_over(made: Patroni) -> None:
    primary, standby = made.whole()
    with _followed(made, standby):
        wait_until(lambda: primary.switch_over(standby), START_S, made.reported)


def _crash(made: Patroni) -> None:
    """Let the server of the primary die; its Patroni fails over."""
    primary, standby = made.whole()
    with _followed(made, standby):
        primary.crash()


def _crash_behind(made: Patroni) -> None:
    """The same, while the standby is behind."""
    primary, standby = made.whole()
    with _followed(made, standby), standby.behind():
        let_pass(BEHIND_S)
        primary.crash()


def _die(made: Patroni) -> None:
    """Let the whole host die: the others wait until its hold on the cluster has run out."""
    primary, standby = made.whole()
    with _followed(made, standby):
        primary.die()
    primary.be_replaced()


def _recovered(trees: Trees) -> None:
    """See that each tree goes on soon after a plain client does."""

    def follow(tree: Ordeal, url: str) -> None:
        assert tree.recovered(_first_write(url)) < RECOVERY_S

    with ThreadPoolExecutor(len(trees)) as threads:
        for done in [threads.submit(follow, *each) for each in trees]:
            done.result()


def _first_write(url: str) -> Stopwatch:
    refused: list[str] = []

    def write() -> Stopwatch | None:
        try:
            with connect(url) as connection:
                connection.execute("INSERT INTO writes DEFAULT VALUES")
                return Stopwatch()
        except psycopg.Error as error:
            refused[:] = [str(error)]
        return None

    written: Stopwatch = wait_until(
        write, START_S, lambda: f"no write by {url}: {refused}", lambda: let_pass(0.05)
    )
    return written


@pytest.mark.failure(
    "Patroni switches over to its synchronous standby under load, then the new primary's server"
    " dies and it fails over; a tree by a URL with both hosts, one through PgBouncer.",
    "Nothing that was committed is lost, nothing runs twice; a job runs within two seconds"
    " after a plain client's first write by the same URL.",
)
def test_trees_follow_the_primary_and_lose_nothing(tmp_path: Path) -> None:
    with patroni(synchronous=True) as made, _trees(made, tmp_path) as trees:
        for change in (_switch_over, _crash):
            change(made)
            _recovered(trees)
        for tree, _ in trees:
            tree.check(lost=None)


@pytest.mark.failure(
    "Patroni switches over, the primary's server dies, its whole host dies, again and again,"
    " under load; the standby is synchronous.",
    "As above, each time.",
)
def test_for_minutes_a_synchronous_cluster_loses_nothing(tmp_path: Path) -> None:
    with patroni(synchronous=True) as made, _trees(made, tmp_path) as trees:
        for change in (_switch_over, _crash, _die) * ROUNDS:
            change(made)
            _recovered(trees)
        for tree, _ in trees:
            tree.check(lost=None)


@pytest.mark.failure(
    "The same with an asynchronous standby that is seconds behind when the primary's server"
    " dies.",
    "Every job that the standby has ends, and no job is in no table. The jobs that run twice"
    " are those whose end had not reached the standby",
)
def test_an_asynchronous_cluster_loses_only_commits_that_the_standby_lacks(
    tmp_path: Path,
) -> None:
    with patroni(synchronous=False) as made, _trees(made, tmp_path) as trees:
        for change in (_crash_behind, _switch_over, _die) * ROUNDS:
            change(made)
            _recovered(trees)
        for tree, _ in trees:
            tree.check_behind(made.failovers)
