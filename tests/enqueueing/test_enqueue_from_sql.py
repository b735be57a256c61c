"""SQL enqueues what Python does, and refuses what Python refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from psycopg import errors

import refused
from jobsd.arguments.keys import UnfitKeyError, encode
from jobsd.errors import Error
from jobsd.jobs.registry import check_queue
from rows import fetch

if TYPE_CHECKING:
    from jobsd.database.connection import Session


def test_a_trigger_can_enqueue(session: Session) -> None:
    for statement in (
        "CREATE TEMPORARY TABLE users (id int)",
        """CREATE FUNCTION pg_temp.greet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM jobsd.enqueue('app.welcome', jsonb_build_array(NEW.id), queue => 'mail');
        RETURN NEW; END $$""",
        """CREATE TRIGGER greet AFTER INSERT ON users FOR EACH ROW
        EXECUTE FUNCTION pg_temp.greet()""",
        "INSERT INTO users VALUES (1), (2)",
    ):
        session.connection.execute(statement.encode())
    try:
        assert fetch(session, "SELECT queue_name, arguments FROM jobsd.jobs ORDER BY id") == [
            ("mail", [1]),
            ("mail", [2]),
        ]
        assert fetch(session, "SELECT count(*) FROM jobsd.ready_executions") == [(2,)]
    finally:
        session.connection.execute(b"DROP TABLE users")


def test_sql_stores_all_that_python_does(session: Session) -> None:
    (job_id,) = fetch(
        session,
        "SELECT jobsd.enqueue('app.x', '{\"a\": 1}', wait => '1 hour', priority => -3,"
        " max_attempts => 4, concurrency_key => 'k', concurrency_limit => 2,"
        " concurrency_duration => '5 min', on_conflict => 'discard')",
    )[0]
    row = fetch(
        session,
        "SELECT class_name, arguments, priority, max_attempts, retries_crash, concurrency_key,"
        " concurrency_limit, concurrency_duration, on_conflict,"
        " scheduled_at > now() + interval '59 min' FROM jobsd.jobs WHERE id = %s",
        job_id,
    )[0]
    assert row == (
        "app.x", {"a": 1}, -3, 4, True, "k", 2, timedelta(minutes=5), "discard", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("call", "reported"),
    [
        ("''", "class_name: the name of a job is wanted"),
        ("repeat('x', 1001)", "class_name: more than 1,000 characters"),
        ("'x', '3'", "arguments: a JSON array or object is wanted"),
        ("'x', jsonb_build_array(repeat('ab', 600000))", "arguments: more than 1 MiB"),
        ("'x', max_attempts => 0", "max_attempts: 1 at least"),
        ("'x', wait => '1 h', wait_until => now()", "wait or wait_until, not both"),
        ("'x', wait => '101 years'", "wait: longer than a hundred years"),
        ("'x', wait => '170000000 years'", "wait: longer than a hundred years"),
        ("'x', wait_until => 'infinity'", "wait: longer than a hundred years"),
        ("'x', concurrency_key => ''", "concurrency_key: 1 to 1,000 bytes"),
        (
            "'x', concurrency_key => 'k', concurrency_duration => '-1 s'",
            "concurrency_duration: ",
        ),
        ("'x', concurrency_limit => 0", "concurrency_limit: 1 at least"),
        ("'x', on_conflict => 'wait'", "on_conflict: 'block' or 'discard'"),
    ],
)
def test_sql_refuses_what_python_refuses(call: str, reported: str, session: Session) -> None:
    with pytest.raises(errors.InvalidParameterValue, match=f"enqueue: {reported}"):
        fetch(session, f"SELECT jobsd.enqueue({call})")
    assert fetch(session, "SELECT FROM jobsd.jobs") == []


@pytest.mark.parametrize("name", refused.QUEUES, ids=ascii)
def test_sql_refuses_the_queues_that_python_refuses(name: str, session: Session) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="enqueue: queue: 1 to 255 bytes"):
        session.connection.execute("SELECT jobsd.enqueue('x', queue => %s)", (name,))


NAMES = pytest.mark.parametrize(
    ("seen", "unseen"),
    [
        (" ~", "\x01\x1f\x7f\x9f\xa0"),
        ("\xac\xae\u061b\u061d\u167f\u1681\u180d\u180f", "\xad\u061c\u1680\u180e"),
        ("\u1fff\u2010\u2027\u2030\u205e\u2070", "\u2000\u200f\u2028\u202f\u205f\u206f"),
        ("\u2fff\u3001\ufefe\uff00\ufff8\ufffc", "\u3000\ufeff\ufff9\ufffb"),
        ("\U000dffff\U000e0080\U000e0100", "\U000e0000\U000e0001\U000e007f"),
        # Of private use, assigned to nothing, and assigned by a later Unicode than Python's.
        ("\ue000\u0378\U0001faea\U000fffff", "*,"),
    ],
    ids=ascii,
)


@NAMES
def test_sql_and_python_know_the_same_names_of_queues(
    seen: str, unseen: str, session: Session
) -> None:
    for name in (f"a{character}b" for character in seen):
        fetch(session, "SELECT jobsd.enqueue('x', queue => %s)", check_queue(name))
    for name in (f"a{character}b" for character in unseen):
        with pytest.raises(Error, match="is not a queue name"):
            check_queue(name)
        with pytest.raises(errors.InvalidParameterValue, match="queue: 1 to 255 bytes"):
            fetch(session, "SELECT jobsd.enqueue('x', queue => %s)", name)


@NAMES
def test_sql_and_python_know_the_same_keys(seen: str, unseen: str, session: Session) -> None:
    call = "SELECT jobsd.enqueue('x', concurrency_key => %s, unique_key => %s)"
    for key in (f"a{character}b" for character in seen):
        fetch(session, call, key, encode(key, ""))
    for key in (f"a{character}b" for character in unseen.replace("*,", "\n\t")):
        with pytest.raises(UnfitKeyError):
            encode(key, "")
        for one, other in ((key, "a"), ("a", key)):
            with pytest.raises(errors.InvalidParameterValue, match="_key: 1 to 1,000 bytes of"):
                fetch(session, call, one, other)


@pytest.mark.parametrize(
    ("call", "reported"),
    [
        ("'x', priority => 1.5", "priority => numeric"),
        ("'x', priority => 2147483648", "priority => bigint"),
        ("'x', '[\"a\\u0000b\"]'", "cannot be converted to text"),
        ("'x', '[1'", "invalid input syntax for type json"),
        ("'x', wait => 'soon'", "invalid input syntax for type interval"),
    ],
)
def test_an_argument_of_a_wrong_type_is_refused_by_the_server(
    call: str, reported: str, session: Session
) -> None:
    with pytest.raises(errors.Error) as refused:
        fetch(session, f"SELECT jobsd.enqueue({call})")

    assert reported in f"{refused.value}"
    assert fetch(session, "SELECT FROM jobsd.jobs") == []


@pytest.mark.parametrize("moment", ["-infinity", "4000-01-01 BC"])
def test_a_time_long_past_is_stored_within_the_range_of_all_clients(
    moment: str, session: Session
) -> None:
    fetch(session, f"SELECT jobsd.enqueue('x', wait_until => '{moment}')")

    ((old, _),) = fetch(
        session,
        "SELECT scheduled_at < now() - interval '99 years', scheduled_at"
        " FROM jobsd.jobs JOIN jobsd.ready_executions ON job_id = id",
    )
    assert old


def test_arguments_are_measured_as_text_also_where_a_table_holds_them_compressed(
    session: Session,
) -> None:
    with session.connection.transaction(force_rollback=True):
        session.connection.execute(
            "CREATE TABLE jobsd.letters AS"
            " SELECT jsonb_build_array(repeat('ab', 600000)) AS text"
        )
        with pytest.raises(errors.InvalidParameterValue, match="arguments: more than 1 MiB"):
            fetch(session, "SELECT jobsd.enqueue('x', text) FROM jobsd.letters")
