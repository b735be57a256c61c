"""Every wait for the server ends, and wake-ups come where they can."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import gc
import traceback
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import conninfo

from database.pgbouncer import pgbouncer
from jobsd.database.connection import Session, Target, connect, redact, unreachable
from jobsd.database.deadline import DeadlineConnection
from jobsd.database.statements import Statement
from jobsd.errors import DatabaseUnreachableError
from jobsd.processes.nap import Nap
from waiting import wait_until

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult
from waiting import Stopwatch

_PING = Statement("ping", "SELECT 1")
_NOTHING: dict[str, object] = {}
_SUM = Statement("sum", "SELECT %(a)s::integer + %(b)s::integer, NULL, %(c)s::text")
_SAME = Statement("same", "SELECT %(given)s::text[]")
_NOTIFY = Statement("notify", "SELECT pg_notify('jobsd.wake', 'ready q')")


def _wait_until_it_hears(session: Session) -> None:
    nap = Nap()

    def rest() -> None:
        socket = session.fileno()
        nap.take(0.5, [] if socket is None else [socket])

    wait_until(lambda: "ready q" in session.notifications(), between=rest)
    nap.close()


@pytest.mark.failure(
    "The server gives no answer, and no error either.",
    "The wait ends by a deadline of our own; the next statement makes a new connection.",
)
def test_a_statement_that_takes_too_long_is_given_up(target: Target) -> None:
    with contextlib.closing(Session(target, "slow", deadline_s=0.2)) as session:
        _ = session.connection
        watch = Stopwatch()

        with pytest.raises(psycopg.OperationalError, match=r"not answered for 0\.2 s"):
            session.fetch(Statement("sleep", "SELECT pg_sleep(30)"))

        assert watch.took() < 20
        session.close()
        assert session.fetch(_PING) == [(1,)]


@pytest.mark.failure(
    "The server sends a notice now and then, and no answer.",
    "The deadline still holds, whatever comes before the answer",
)
def test_notices_before_the_answer_do_not_extend_the_deadline(target: Target) -> None:
    trickle = Statement(
        "trickle",
        "DO $$ BEGIN FOR n IN 1..300 LOOP"
        " RAISE NOTICE 'still here'; PERFORM pg_sleep(0.1); END LOOP; END $$",
    )
    with contextlib.closing(Session(target, "slow", deadline_s=0.5)) as session:
        _ = session.connection
        watch = Stopwatch()

        with pytest.raises(psycopg.OperationalError, match=r"not answered for 0\.5 s"):
            session.fetch(trickle)

        assert watch.took() < 20


def test_statements_that_go_together_are_all_done_or_none(session: Session) -> None:
    insert = Statement("insert", "INSERT INTO jobsd.pauses (queue_name) VALUES (%(name)s)")

    with pytest.raises(psycopg.errors.UniqueViolation):
        session.fetch_together([(insert, {"name": "a"}), (insert, {"name": "a"})])

    assert session.fetch(Statement("all", "SELECT queue_name FROM jobsd.pauses")) == []


def test_defaults_of_a_database_do_not_change_our_session(
    empty_database: str,
) -> None:
    name = conninfo.conninfo_to_dict(empty_database)["dbname"]
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for setting in (
            "default_transaction_isolation = 'serializable'",
            "datestyle = 'German'",
            "array_nulls = off",
        ):
            connection.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    level = Statement("level", "SELECT current_setting('transaction_isolation'), now()")

    with contextlib.closing(Session(Target(empty_database), "settled")) as session:
        (isolation, moment), *_ = session.fetch(level)
        (texts,), *_ = session.fetch(_SAME, {"given": [None, "NULL"]})

    assert (isolation, moment.tzinfo is None) == ("read committed", False)
    assert texts == [None, "NULL"]


@pytest.mark.parametrize(("once", "mode"), [(True, "force_generic_plan"), (False, "auto")])
def test_only_a_session_that_plans_once_has_plans_for_all_parameters(
    target: Target, mode: str, *, once: bool
) -> None:
    shown = Statement("mode", "SHOW plan_cache_mode")

    with contextlib.closing(Session(target, "planner", plan_once=once)) as session:
        assert session.fetch(shown) == [(mode,)]


@pytest.mark.failure(
    "The connection is cut between two statements that go together.",
    "There is one error and no line in the log: neither the driver's, nor a line that is not"
    " a record",
)
def test_a_pipeline_on_a_connection_that_was_cut_prints_nothing(
    target: Target, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    cut = Statement("cut", "SELECT pg_terminate_backend(%(pid)s, 5000)")
    with contextlib.closing(Session(target, "victim")) as victim:
        pid = victim.connection.info.backend_pid
        assert session.fetch(cut, {"pid": pid}) == [(True,)]

        with pytest.raises(psycopg.OperationalError):
            victim.fetch_together([(_PING, _NOTHING)] * 3)
        assert not victim.connected
        assert caplog.messages == []

    # What nobody has closed the collector closes; what that raises fails this test.
    gc.collect()


def test_an_unreachable_server_is_named_in_one_line_without_the_password() -> None:
    with pytest.raises(DatabaseUnreachableError) as caught:
        connect(Target("postgresql://me:secret@127.0.0.1:1/none"), "test")

    reported = str(caught.value)
    assert ("secret" in reported, "\n" in reported, "port=1" in reported) == (
        False,
        False,
        True,
    )


@pytest.mark.parametrize(
    "url", ["mysql://me:secret@db/x", "postgresql://me:secret@[::bad/x", "password='secret"]
)
def test_a_malformed_url_is_not_shown_at_all(url: str) -> None:
    with pytest.raises(psycopg.ProgrammingError) as caught:
        _ = Session(Target(url), "test").connection

    reported = "".join(traceback.format_exception(caught.value))
    assert "secret" not in reported + unreachable(url, caught.value) + redact(url)


def test_a_notification_is_heard_also_when_it_comes_with_an_answer(target: Target) -> None:
    with contextlib.closing(Session(target, "ear", listen=True)) as session:
        session.fetch(_NOTIFY)

        _wait_until_it_hears(session)


def test_behind_a_transaction_pooler_nothing_is_listened_for_prepared_or_set(
    target: Target,
) -> None:
    with (
        pgbouncer(target.url) as url,
        contextlib.closing(Session(Target(url), "pooled", listen=True)) as session,
    ):
        rows = [session.fetch(_PING) for _ in range(20)]

        assert rows == [[(1,)]] * 20
        assert (session.listening, session.fileno()) == (False, None)
        assert session.connection.prepare_threshold is None
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as another:
            assert another.execute(_IN_FORCE.text.encode()).fetchone() == ("on", "on", "0")


_IN_FORCE = Statement(
    "in_force",
    "SELECT current_setting('jit'), current_setting('enable_seqscan'),"
    " current_setting('lock_timeout')",
)


def test_behind_a_transaction_pooler_each_statement_carries_its_settings(
    target: Target,
) -> None:
    with (
        pgbouncer(target.url) as url,
        contextlib.closing(Session(Target(url), "pooled", deadline_s=5)) as session,
    ):
        ways = [
            session.fetch(_IN_FORCE),
            *session.fetch_together([(_PING, {}), (_IN_FORCE, {})])[1:],
            session.fetch_prepared(_IN_FORCE, {}),
            session.send_bound(session.bind(_IN_FORCE, {}))(),
        ]

        assert ways == [[("off", "off", "4s")]] * 4


def test_behind_a_transaction_pooler_a_failed_statement_does_not_spoil_the_next(
    target: Target,
) -> None:
    wrong: dict[str, str | int] = {"a": "four", "b": 2, "c": ""}
    with (
        pgbouncer(target.url) as url,
        contextlib.closing(Session(Target(url), "pooled")) as session,
    ):
        answer = session.send_bound(session.bind(_SUM, wrong))
        assert session.fetch(_PING) == [(1,)]
        for fail in (
            answer,
            lambda: session.fetch(_SUM, wrong),
            lambda: session.fetch_prepared(_SUM, wrong),
        ):
            with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                fail()
            assert session.fetch_prepared(_IN_FORCE, {})[0][:2] == ("off", "off")


@pytest.mark.parametrize("pooled", [False, True])
def test_fetch_prepared_answers_as_a_cursor_does(target: Target, *, pooled: bool) -> None:
    way = pgbouncer(target.url) if pooled else contextlib.nullcontext(target.url)
    with way as url, contextlib.closing(Session(Target(url), "asking")) as session:
        for _ in range(3):
            rows = session.fetch_prepared(_SUM, {"a": 40, "b": 2, "c": "déjà"})
            assert rows == [(42, None, "déjà")]
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            session.fetch_prepared(_SUM, {"a": "four", "b": 2, "c": ""})
        with pytest.raises(psycopg.DataError, match="NUL"):
            session.fetch_prepared(_SUM, {"a": 1, "b": 2, "c": "a\0b"})

        assert session.fetch_prepared(_SUM, {"a": 1, "b": None, "c": ""}) == [(None, None, "")]


@pytest.mark.parametrize("pooled", [False, True])
def test_a_pipelined_statement_is_answered_after_other_statements(
    target: Target, *, pooled: bool
) -> None:
    way = pgbouncer(target.url) if pooled else contextlib.nullcontext(target.url)
    with way as url, contextlib.closing(Session(Target(url), "asking")) as session:
        sums = session.bind(_SUM, {"a": 40, "b": 2, "c": "first"})
        for _ in range(2):
            answer = session.send_bound(sums)
            assert answer() == [(42, None, "first")]

            answer = session.send_bound(sums)
            assert session.fetch(_PING) == [(1,)]
            assert session.fetch_bound(sums) == [(42, None, "first")]
            assert answer() == [(42, None, "first")]


def test_a_pipelined_statement_raises_its_error_when_its_result_is_read(
    session: Session,
) -> None:
    answer = session.send_bound(session.bind(_SUM, {"a": "four", "b": 2, "c": ""}))

    assert session.fetch(_PING) == [(1,)]

    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        answer()


def test_a_statement_that_others_have_forgotten_is_sent_again(session: Session) -> None:
    sums = session.bind(_SUM, {"a": 40, "b": 2, "c": ""})
    session.fetch_bound(sums)
    session.connection.execute("DEALLOCATE ALL", prepare=False)

    answer = session.send_bound(sums)

    assert session.fetch(_PING) == [(1,)]
    assert answer() == [(42, None, "")]


def test_a_pipelined_statement_on_a_closed_connection_is_not_awaited(
    session: Session,
) -> None:
    answer = session.send_bound(session.bind(_SUM, {"a": 40, "b": 2, "c": ""}))

    session.close()

    assert session.fetch(_PING) == [(1,)]
    with pytest.raises(psycopg.OperationalError):
        answer()


@pytest.mark.parametrize("encoding", ["utf8", "latin1"])
def test_texts_are_asked_for_as_they_are(target: Target, encoding: str) -> None:
    url = conninfo.make_conninfo(target.url, client_encoding=encoding)
    texts = ["", "a,b", '"', "\\", "{NULL}", "NULL", " é\n", "…", '\\"']

    with contextlib.closing(Session(Target(url), "asking")) as session:
        assert session.fetch_prepared(_SAME, {"given": texts}) == [(texts,)]
        assert session.fetch(_SAME, {"given": texts}) == [(texts,)]
        assert session.fetch_prepared(_SAME, {"given": []}) == [([],)]


def test_a_text_with_a_nul_is_refused_and_not_cut_off_there(session: Session) -> None:
    with pytest.raises(psycopg.DataError, match="NUL"):
        session.fetch_prepared(_SAME, {"given": ["cut\0off"]})

    assert session.fetch_prepared(_PING, {}) == [(1,)]


def test_a_statement_interrupted_after_its_preparation_can_be_repeated(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = DeadlineConnection._result

    def interrupt(wire: DeadlineConnection) -> PGresult:
        answer(wire)
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(DeadlineConnection, "_result", interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.fetch_prepared(_PING, {})

    assert session.fetch_prepared(_PING, {}) == [(1,)]


def test_wakeups_come_past_the_pooler_when_there_is_a_way(
    target: Target,
) -> None:
    with pgbouncer(target.url) as url:
        past = Target(url, listen_url=target.url)
        with contextlib.closing(Session(past, "past", listen=True)) as session:
            session.fetch(_NOTIFY)

            _wait_until_it_hears(session)


@pytest.mark.failure(
    "The connection past the pooler, by which wake-ups come, breaks.",
    "Workers find jobs by polling until the connection is back",
)
def test_a_broken_way_past_the_pooler_costs_the_wakeups_only(
    target: Target, session: Session
) -> None:
    past = Target(target.url, listen_url=target.url)
    with contextlib.closing(Session(past, "ear", listen=True)) as deaf:
        _ = deaf.connection
        session.connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'ear wake-ups'"
        )

        # The server's goodbye is read first, then the end of the connection.
        def listen() -> None:
            assert deaf.notifications() == []

        wait_until(lambda: not deaf.listening, between=listen)

        assert deaf.fetch(_PING) == [(1,)]


def test_a_way_past_the_pooler_that_is_shut_is_not_tried_in_each_round(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def refuse(url: str, *_: object) -> None:
        tried.append(url)
        raise psycopg.OperationalError("shut")

    monkeypatch.setattr("jobsd.database.listener.open_connection", refuse)
    past = Target(target.url, listen_url=target.url)
    with contextlib.closing(Session(past, "deaf", listen=True)) as deaf:
        for _ in range(10):
            assert (deaf.fetch(_PING), deaf.notifications()) == ([(1,)], [])

    assert len(tried) == 1
