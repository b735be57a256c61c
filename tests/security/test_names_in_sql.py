"""Whatever a schema, a queue, a key, an argument is called, it stays a name or a value."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobsd.acts import queues
from jobsd.database.connection import Session, Target
from jobsd.database.statements import Statement, channel, quote_identifier
from jobsd.enqueueing import client
from jobsd.errors import Error
from jobsd.jobs.registry import check_queue

from .life import life, note, note_failing, note_limited, ran

HOSTILE = [
    "jobsd",
    "Two words",
    'double " quote',
    "single ' quote; DROP SCHEMA jobsd CASCADE; --",
    "back\\slash \\' \\",
    "$$ $body$ $1 $body0$",
    "percent %s %(keys)s %% %",
    "naïve \N{SNOWMAN} \N{RIGHT-TO-LEFT OVERRIDE}",
    "line\nbreak\ttab -- /* comment",
    "jobsd.jobs",
    "a.b",
    "{braces} {0}",
    "select",
]


def _is_schema(name: str) -> bool:
    try:
        channel(name)
    except ValueError:
        return False
    return not name.startswith("pg_")


def _is_queue(name: str) -> bool:
    try:
        check_queue(name)
    except Error:
        return False
    return True


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
_ALLOWED = [
    HealthCheck.function_scoped_fixture,
    HealthCheck.filter_too_much,
    HealthCheck.too_slow,
]
_NASTY = st.lists(st.sampled_from(["'", '"', "$$", "\\", "%", "%s", ";", "--", "jobsd.", " "]))
_NAMES = st.one_of(_TEXT, _NASTY.map("".join))


@pytest.mark.parametrize("schema", HOSTILE)
def test_jobs_live_their_whole_life_in_a_schema_of_any_name(
    empty_database: str, schema: str
) -> None:
    _live_in(empty_database, schema, queue="default", text="x")


@settings(max_examples=8, deadline=None, suppress_health_check=_ALLOWED)
@given(schema=_NAMES.filter(_is_schema))
def test_jobs_live_in_schemas_with_any_name(empty_database: str, schema: str) -> None:
    _live_in(empty_database, schema, queue="default", text="x")


@pytest.mark.failure(
    "Queues, keys and arguments are full of quotes, placeholders and SQL.",
    "They are values, nothing else, in each statement of a job's life.",
)
@settings(max_examples=25, deadline=None, suppress_health_check=_ALLOWED)
@given(queue=_NAMES.filter(_is_queue), text=_NAMES.filter(str.isprintable))
@example(queue="'; DROP TABLE jobsd.jobs; --", text="'); DROP TABLE jobsd.jobs; --")
@example(queue="%s %(name)s", text="%s %(keys)s %")
@example(queue='{"a"} \\', text='\\"\\u0027')
def test_queues_keys_and_arguments_are_values(
    empty_database: str, queue: str, text: str
) -> None:
    _live_in(empty_database, "jobsd", queue=queue, text=text)


@settings(max_examples=200, deadline=None)
@given(schema=_NAMES.filter(_is_schema))
@example(schema="$body$")
def test_a_statement_keeps_its_parts_whatever_the_schema(schema: str) -> None:
    text = "SELECT 'jobsd.wake', 'it''s' -- jobsd.comment's\nFROM jobsd.jobs AS $$ jobsd.x $$"

    rendered = Statement("test", text).render(schema).decode()

    name = quote_identifier(schema)
    in_text = name.replace("'", "''")
    body = rendered.rsplit(" AS ", 1)[1].split(" ", 1)[0]
    assert body not in name
    assert rendered == (
        f"SELECT '{in_text}.wake', 'it''s' -- jobsd.comment's\n"
        f"FROM {name}.jobs AS {body} {name}.x {body}"
    )


@pytest.mark.parametrize("schema", ["", "nul\0", "x" * 57, '"' * 29])
def test_an_impossible_schema_is_refused_before_any_statement(schema: str) -> None:
    with pytest.raises(ValueError, match="can't be the schema"):
        Statement("test", "SELECT FROM jobsd.jobs").render(schema)


def _live_in(url: str, schema: str, *, queue: str, text: str) -> None:
    ran.clear()
    with life(url, schema) as lived:
        note.using(queue=queue).enqueue(text)
        note.using(wait=timedelta(milliseconds=5), queue=queue).enqueue(text)
        client.enqueue_many([note.using(queue=queue).with_args(text) for _ in range(3)])
        limited = [note_limited.using(queue=queue).enqueue(text) for _ in range(2)]
        note_failing.using(queue=queue).enqueue(text)
        lived.fetch(
            "SELECT jobsd.enqueue('note', jsonb_build_array(%(text)s::text), %(queue)s,"
            " concurrency_key => %(key)s)",
            text=text, queue=queue, key=f"key {text}",
        )  # fmt: skip
        queues.pause(queue, session=lived.session)
        assert queues.size(queue, session=lived.session) == 8
        queues.resume(queue, session=lived.session)

        lived.work_until_done()

        assert [job.state for job in limited] == ["ready", "ready"]
        assert ran == [text] * 8
        reported = lived.fetch("SELECT error->>'message' FROM jobsd.failed_executions")
        assert reported == [(text,)]
        assert lived.fetch("SELECT * FROM jobsd.claims") == []
        assert _hears(url, schema)


def _hears(url: str, schema: str) -> bool:
    with contextlib.closing(
        Session(Target(url, schema), "jobsd test", listen=True)
    ) as listener:
        assert listener.connection
        listener.fetch(Statement("wake", "SELECT pg_notify('jobsd.wake', 'test')"))
        return listener.notifications() == ["test"]
