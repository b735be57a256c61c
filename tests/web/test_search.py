"""The search language."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import enqueue, fail
from jobsd.acts.listing import Filter, listed
from jobsd.acts.periods import Period, age
from jobsd.arguments.signature import Signature
from jobsd.jobs import published
from jobsd.jobs.policy import Policy
from jobsd.jobs.registry import Definition
from jobsd.operations.search import read_search

from .searching import found_ids

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.enqueueing.client import Client
    from rows import Rows


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", Filter()),
        ("class:app.mail.*", Filter(class_name="app.mail.*")),
        ("queue:mail state:ready", Filter(queue_name="mail", state="ready")),
        ('queue:"two words" x', Filter(queue_name="two words", words=("x",))),
        ("error:SMTP", Filter(state="failed", error="SMTP")),
        ("tag:a tag:b", Filter(tags=("a", "b"))),
        ("key:user/5 host:web-1", Filter(key="user/5", host="web-1")),
        ("after:2h before:90s", Filter(enqueued=Period(age(7200), age(90)))),
        ("args.user:5", Filter(argument="user", values=('"5"', "5"))),
        ("args.user:ann", Filter(argument="user", values=('"ann"',))),
        ("timeout 421", Filter(words=("timeout", "421"))),
    ],
)
def test_a_search_means(text: str, meant: Filter) -> None:
    search = read_search(text)

    assert (search.problems, search.meant) == ((), meant)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("colour:red", "can't be searched"),
        ("state:dead", "is not a state"),
        ("after:soon", "after: 'soon' is not a time"),
        ("args.token:x", "never shown"),
        ("queue:a queue:b", "queue: is given twice; only tag: can be"),
        ("after:2h after:3h", "after: is given twice; only tag: can be"),
        ("args.a:1 args.b:2", "args. is given twice; only tag: can be"),
        ("x " * 21, "at most 20 parts"),
    ],
)
def test_an_invalid_search_is_reported(text: str, problem: str) -> None:
    [found] = read_search(text, {"token"}).problems

    assert problem in found


@pytest.mark.parametrize("before", ["", "error:", "key:", "host:", "args.x:", "class:"])
@pytest.mark.parametrize("text", ["a\udcff", "a\0"])
def test_a_search_for_values_that_no_job_can_hold_is_refused(before: str, text: str) -> None:
    search = read_search(before + text)

    assert search.problems
    assert search.meant == Filter()


def test_a_nul_in_json_is_not_sought(session: Session) -> None:
    search = read_search(r'args.x:"\u0000"')

    assert not search.problems
    assert listed(session, search.meant, 10).jobs == []


def test_each_part_of_a_search_narrows_the_list(
    session: Session, rows: Rows, default_client: Client
) -> None:
    del default_client
    ids = [enqueue() for _ in range(4)]
    fail(session, ids[0])
    rows("UPDATE jobsd.jobs SET class_name = 'other_job' WHERE id = %s", ids[1])
    rows(
        "UPDATE jobsd.jobs SET arguments = %s::jsonb, created_at = now() - interval '3h'"
        " WHERE id = %s",
        *('[{"$keywords": {"user": 5}}]', ids[2]),
    )
    rows("UPDATE jobsd.jobs SET concurrency_key = 'k' WHERE id = %s", ids[3])
    rows("UPDATE jobsd.jobs SET tags = '{billing,eu}' WHERE id = %s", ids[2])
    rows(
        "UPDATE jobsd.jobs SET started_at = now() - interval '90m',"
        " finished_at = now() - interval '1h' WHERE id = %s",
        ids[3],
    )
    rows("UPDATE jobsd.failed_executions SET failed_at = now() - interval '30m'")

    def found(text: str) -> list[int]:
        return [job.id for job in listed(session, read_search(text).meant).jobs]

    assert found("") == ids[::-1]
    assert found("class:other_job") == found("OTHER") == [ids[1]]
    assert found("args.user:5") == found("before:2h") == [ids[2]]
    assert found("args.user:6") == found("100%") == []
    assert found("key:k") == [ids[3]]
    assert found("tag:eu") == found("state:ready tag:billing") == [ids[2]]
    assert found("tag:eu tag:billing") == [ids[2]]
    assert found("tag:us tag:eu") == found("tag:eu tag:us") == []
    assert found("tag:e") == found("tag:eu key:k") == []
    assert found("after:2h") == [ids[3], ids[1], ids[0]]
    assert found("told") == found("error:told") == [ids[0]]
    assert found("started:2h..1h") == found("finished:90m..30m") == [ids[3]]
    assert found("started:1h") == [ids[0]]
    assert found("finished:3h..61m") == found("finished:59m") == []
    assert found("failed:1h") == found("failed:1h..29m") == found("failed:31m told") == [ids[0]]
    assert found("failed:29m") == found("failed:2h..31m") == []
    assert found("ran:29m..31m") == found("ran:>29m finished:2h") == [ids[3]]
    assert found("ran:>31m") == found("ran:29m..31m before:1h") == []
    assert found("waited:>10m") == [ids[2]]
    assert found("before:4h..2h") == found("after:4h before:2h") == [ids[2]]
    assert found("before:2h..1h") == []


def _digest(user_id: int, size: object, *rest: object) -> None: ...
def _other(size: object, user_id: int) -> None: ...


def test_a_positional_argument_is_found_by_its_published_name(
    session: Session, rows: Rows, default_client: Client
) -> None:
    del default_client
    published.publish(
        session,
        [
            Definition(name, run, "mail", 0, Policy(), "test", takes=Signature(run))
            for name, run in (("shop.digest", _digest), ("shop.other", _other))
        ],
    )
    given = (
        ("shop.digest", '[709287, "big"]'),
        ("shop.digest", '[5, 709287, "big"]'),
        ("shop.digest", '["big", {"$keywords": {"user_id": 709287}}]'),
        ("shop.other", '["big", 709287]'),
        ("shop.unknown", "[709287]"),
    )
    ids = [enqueue(name=name) for name, _ in given]
    for job_id, (_, arguments) in zip(ids, given, strict=True):
        rows("UPDATE jobsd.jobs SET arguments = %s::jsonb WHERE id = %s", arguments, job_id)

    found = partial(found_ids, session)

    assert found("args.user_id:709287") == [ids[0], ids[2], ids[3]]
    assert found("class:shop.digest args.user_id:709287") == [ids[0], ids[2]]
    assert found("args.size:big") == [ids[0], ids[3]]
    assert found("args.rest:big") == found("args.user_id:70928") == []


def test_parts_of_a_value_that_are_never_shown_can_not_be_guessed() -> None:
    shown = read_search('args.user:{"id":1}', {"token"})
    part = read_search('args.user:{"token":1}', {"token"})

    assert shown.problems == ()
    assert "has parts that are never shown" in part.problems[0]
    assert part.meant == Filter()


@pytest.mark.parametrize(
    "text",
    [
        'args.user:{"$dict":[["SESAME"]]}',
        'args.user:{"$dict":[["SESAME","token"]]}',
        'args.user:[{"$dict":[["SESAME"]]}]',
    ],
)
def test_a_value_of_a_hidden_key_in_pairs_can_not_be_guessed(text: str) -> None:
    search = read_search(text, {"token"})

    assert search.meant == Filter()
    assert "has parts that are never shown" in search.problems[0]


def test_what_takes_all_further_arguments_is_hidden_by_its_name_with_and_without_a_star() -> (
    None
):
    for name in ("token", "*token", "**token"):
        search = read_search(f"args.{name}:x", {"token"})

        assert search.meant == Filter()
        assert "never shown" in search.problems[0]


def test_an_argument_is_found_in_a_call_by_keywords_alone(
    session: Session, rows: Rows, default_client: Client
) -> None:
    del default_client
    ids = [enqueue() for _ in range(2)]
    rows("""UPDATE jobsd.jobs SET arguments = '{"user": 5, "n": 1}' WHERE id = %s""", ids[0])

    assert found_ids(session, "args.user:5") == [ids[0]]
    assert found_ids(session, "args.user:6") == []
