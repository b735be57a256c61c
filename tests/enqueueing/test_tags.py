"""The tags of jobs, from each kind of enqueue to the row and to `show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from psycopg import errors

from jobsd import Error, Unique, enqueue_many, job
from jobsd.acts import inspect
from jobsd.jobs import published
from jobsd.operations import jobs as operations
from jobsd.operations.shown_arguments import ShownArguments
from rows import fetch

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.enqueueing.client import Client

pytestmark = pytest.mark.usefixtures("pool")

UNFILTERED = ShownArguments((), lambda _: None)
WELL = [str(number).rjust(100, "x") for number in range(20)]


@job(tags=("billing", "eu", "billing"))
def tagged() -> None:
    """Do nothing."""


@job
def untagged() -> None:
    """Do nothing."""


@job(tags=("old",), unique=Unique(until="started", on_conflict="replace"))
def replaced() -> None:
    """Do nothing."""


def _tags(session: Session) -> list[Any]:
    return [row[0] for row in fetch(session, "SELECT tags FROM jobsd.jobs ORDER BY id")]


def test_python_stores_the_tags_of_the_definition_and_of_using(session: Session) -> None:
    tagged.enqueue()
    tagged.using(wait="1h").enqueue()
    tagged.using(tags=["one, {two}", '"\\']).enqueue()
    tagged.using(tags=()).enqueue()
    untagged.enqueue()
    untagged.using(tags=WELL).enqueue()

    billing = ["billing", "eu"]
    assert _tags(session) == [billing, billing, ["one, {two}", '"\\'], None, None, WELL]


def test_a_bulk_stores_the_tags_of_each_job(session: Session) -> None:
    enqueue_many([untagged.with_args(), tagged.with_args(), untagged.with_args()])

    assert _tags(session) == [None, ["billing", "eu"], None]


def test_a_replaced_job_has_the_tags_of_the_last_enqueue(session: Session) -> None:
    replaced.using(wait="1h").enqueue()
    replaced.using(wait="1h", tags=("new",)).enqueue()
    assert _tags(session) == [["new"]]

    replaced.using(wait="1h", tags=()).enqueue()
    assert _tags(session) == [None]


def test_sql_stores_given_tags_or_those_of_the_definition(session: Session) -> None:
    published.publish(session, [tagged.definition])
    name = tagged.definition.name
    for given in ("", ", tags => '{us}'", ", tags => '{}'"):
        fetch(session, f"SELECT jobsd.enqueue('{name}'{given})")

    assert _tags(session) == [["billing", "eu"], ["us"], None]


@pytest.mark.parametrize(
    "wrong", [["x" * 101], ["é" * 51], [""], ["a\nb"], [*WELL, "y"]], ids=range(5)
)
def test_python_and_sql_refuse_the_same_tags(session: Session, wrong: list[str]) -> None:
    with pytest.raises(Error, match=r"tags: .* at most 20 tags, each of 1 to 100 bytes"):
        untagged.using(tags=wrong).with_args()
    with pytest.raises(errors.InvalidParameterValue, match="tags: at most 20, each of 1 to"):
        fetch(session, "SELECT jobsd.enqueue('app.x', tags => %s)", wrong)
    with pytest.raises(errors.DatabaseError, match="tags: at most 20, each of 1 to"):
        fetch(
            session,
            "SELECT * FROM jobsd.submit(jsonb_build_array(jsonb_build_object("
            "'class_name', 'app.x', 'queue_name', 'default', 'arguments', '[]',"
            " 'priority', 0, 'max_attempts', 1, 'tags', %s::text[])))",
            wrong,
        )
    assert _tags(session) == []


def test_an_empty_element_is_no_tag(session: Session) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="tags: "):
        fetch(session, "SELECT jobsd.enqueue('app.x', tags => '{a,NULL}')")


def test_show_has_the_tags_of_jobs_that_have_some(session: Session, pool: Client) -> None:
    del pool
    with_tags, without = tagged.enqueue(), untagged.enqueue()

    shown = [
        operations.job_facts(
            inspect.find(session, each.id or 0), ShownArguments((), lambda _: None)
        )
        for each in (with_tags, without)
    ]
    assert shown[0]["tags"] == ["billing", "eu"]
    assert "tags" not in shown[1]


def test_a_finish_of_a_tagged_job_is_a_heap_only_update(session: Session) -> None:
    tagged.enqueue()

    with session.connection.transaction():
        session.connection.execute(
            b"UPDATE jobsd.jobs SET outcome = 'finished', attempts = 1, started_at = now(),"
            b" finished_at = now()"
        )
        updates = fetch(
            session,
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables"
            " WHERE relid = 'jobsd.jobs'::regclass",
        )
    assert updates == [(1, 1)]


def test_an_index_finds_jobs_by_tag(session: Session) -> None:
    tagged.enqueue()
    with session.connection.transaction():
        # Only a bitmap scan reads a GIN index; jobsd turns these off for its own statements.
        session.connection.execute(b"SET LOCAL enable_bitmapscan = on")
        session.connection.execute(b"SET LOCAL enable_seqscan = off")
        plan = fetch(
            session, "EXPLAIN SELECT id FROM jobsd.jobs WHERE tags @> ARRAY['billing']"
        )
    assert "jobs_tags" in str(plan)
