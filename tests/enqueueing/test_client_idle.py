"""Connections of the caller's pool that were idle: forgotten by a firewall, or of a standby."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import conninfo

from database.firewall import firewall
from enqueueing.ways import note
from jobsd.acts import queues
from jobsd.database.connection import Target
from jobsd.database.deadline import CONNECT_TIMEOUT_S
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client, enqueue_many
from jobsd.errors import DatabaseUnreachableError, EnqueueError
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from waiting import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from enqueueing.ways import Stored

_QUIET_S = 0.0


@job(limits_concurrency=Limit(to=9, key="one"))
def held(value: int) -> None: ...


def _many(value: int) -> object:
    return enqueue_many([note.with_args(value)])


Put = Callable[[int], object]
EVERY_WAY = pytest.mark.parametrize(
    "put",
    [
        note.enqueue,
        held.enqueue,
        note.using(wait=60).enqueue,
        _many,
    ],
    ids=["alone", "limited", "later", "many"],
)


def test_a_connection_returned_within_a_transaction_is_not_lent_again(
    target: Target,
) -> None:
    with contextlib.closing(Client(target, size_max=1)) as pool:
        with pool.session() as left:
            left.connection.execute("BEGIN")

        with pool.session() as session:
            state = session.connection.info.transaction_status

    assert state == psycopg.pq.TransactionStatus.IDLE


@pytest.fixture(autouse=True)
def _ours_no_more() -> Iterator[None]:
    yield
    client.configure()


def _pool(url: str, *, lends: int = 3, quiet_s: float = _QUIET_S) -> Client:
    """A pool with so many idle connections, all of which count as quiet already."""
    made = Client(Target(url), quiet_s=quiet_s)
    with contextlib.ExitStack() as stack:
        for _ in range(lends):
            stack.enter_context(made.session())
    client.configure(client=made)
    return made


@pytest.mark.failure(
    "A firewall forgets the idle connections of a program, without a sign.",
    "An enqueue after a pause waits a second at most, and the job is stored once.",
)
@EVERY_WAY
def test_connections_that_a_firewall_has_forgotten_cost_a_second(
    target: Target, stored: Stored, put: Put
) -> None:
    with firewall(target.url) as wall, contextlib.closing(_pool(wall.url)):
        wall.forget()
        watch = Stopwatch()

        put(1)

        # Not a second for each of the three.
        assert watch.took() < 2
        assert stored() == [1]


def test_a_connection_that_was_quiet_is_asked_and_kept(target: Target) -> None:
    with firewall(target.url) as wall, contextlib.closing(_pool(wall.url, lends=1)):
        for n in range(3):
            note.enqueue(n)

        assert wall.opened == 1


def test_a_connection_that_is_in_use_is_asked_nothing(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "takes_jobs", None)
    with contextlib.closing(_pool(target.url, quiet_s=client.QUIET_S)):
        for n in range(3):
            assert note.enqueue(n).state == "ready"


@pytest.mark.failure(
    "A firewall has forgotten the idle connections, and lets no new one through either.",
    "There is one error within a few seconds, that the database is unreachable: nothing was"
    " stored",
)
def test_a_closed_network_is_reported_as_an_unreachable_database(target: Target) -> None:
    with firewall(target.url) as wall, contextlib.closing(_pool(wall.url)):
        wall.forget()
        wall.shut = True
        watch = Stopwatch()

        with pytest.raises(DatabaseUnreachableError):
            note.enqueue(1)

        assert watch.took() < 1 + CONNECT_TIMEOUT_S + 0.5


@contextlib.contextmanager
def _read_only(url: str) -> Generator[None]:
    """A database whose new connections may only read, as those to a standby."""
    name = conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, autocommit=True) as opened:
        opened.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        yield
        opened.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())


@pytest.mark.failure(
    "The idle connections of a program lead to a server that only reads, as after a failover.",
    "They are replaced before they are used; a connection that is in use is replaced after"
    " one error, that nothing was stored",
)
@EVERY_WAY
@pytest.mark.parametrize("quiet_s", [0.0, 60.0])
def test_connections_that_only_read_are_not_kept(
    target: Target, stored: Stored, put: Put, quiet_s: float
) -> None:
    with _read_only(target.url):
        pool = _pool(target.url, quiet_s=quiet_s)
    with contextlib.closing(pool):
        if quiet_s:
            with pytest.raises(EnqueueError, match=r"was not enqueued: .*read-only"):
                put(0)

        for n in (1, 2, 3):
            put(n)

        assert stored() == [1, 2, 3]


def test_a_pause_replaces_read_only_connections_too(target: Target) -> None:
    with _read_only(target.url):
        pool = _pool(target.url, quiet_s=60.0)
    with contextlib.closing(pool):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            queues.pause("mail")

        queues.pause("mail")

        assert [pause.queue_name for pause in queues.paused()] == ["mail"]
