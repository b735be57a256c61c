"""The page of a job: what became of it in the right order, and in words."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from enqueueing.placed import claim, enqueue, fail
from jobsd.acts import queues
from jobsd.processes import registry
from jobsd.web.job_facts import died, progress

if TYPE_CHECKING:
    from dashboard.asking import Browser
    from jobsd.database.connection import Session
    from rows import Rows

STEPS = re.compile(r"<li class=\"[a-z]+\"><b>([A-Z][a-z ]+)</b>")
CRASH = {
    "type": "ProcessExitError",
    "message": "worker worker-1 (pid 7) was killed by SIGKILL",
    "pid": 7,
    "reason": "signal",
    "exit_code": None,
    "signal": "SIGKILL",
    "rss_kib": 40_960,
}


def _steps(browser: Browser, job_id: int) -> list[str]:
    return STEPS.findall(browser.get(f"/jobs/{job_id}").text)


def test_future_steps_stand_after_past_ones(browser: Browser, rows: Rows) -> None:
    first, again = enqueue(wait=60), enqueue(wait=60)
    rows("UPDATE jobsd.jobs SET attempts = 1, started_at = now() WHERE id = %s", again)

    assert _steps(browser, first) == ["Enqueued", "Scheduled", "Due"]
    assert _steps(browser, again) == ["Enqueued", "Started", "Scheduled", "Due again"]


def test_a_retry_that_is_due_stands_behind_the_attempt_before_it(
    browser: Browser, rows: Rows
) -> None:
    job_id = enqueue()
    rows(
        "UPDATE jobsd.jobs SET attempts = 1, started_at = now() - interval '9 s',"
        " scheduled_at = now() - interval '2 s'"
    )

    assert _steps(browser, job_id) == ["Enqueued", "Started", "Due again", "Ready"]
    assert "waited" not in browser.get(f"/jobs/{job_id}").text


@pytest.mark.parametrize("state", ["ready", "claimed", "scheduled", "failed"])
def test_the_meaning_of_a_state_is_a_sentence(
    browser: Browser, session: Session, state: str
) -> None:
    job_id = enqueue(wait=60 if state == "scheduled" else None)
    if state == "claimed":
        claim(session, 1, job_id)
    elif state == "failed":
        fail(session, job_id)
    found = re.search(r": (it .+?)\.</p>", browser.get(f"/jobs/{job_id}").text)

    assert found is not None
    assert re.match(r"it (waits|has) ", found[1])


def test_the_death_of_a_process_has_its_signal_its_memory_and_what_ran_in_it(
    browser: Browser, session: Session, rows: Rows
) -> None:
    job_id, other = enqueue(), enqueue()
    fail(session, job_id)
    beside: dict[str, object] = {"threads": {"0": job_id, "2": other}}
    error = {**CRASH, **beside}
    rows("UPDATE jobsd.attempts SET error = %s", json.dumps(error))

    page = browser.get(f"/jobs/{job_id}").text

    assert "<dt>Signal</dt><dd>SIGKILL</dd>" in page
    assert "<dt>Memory</dt><dd>40 MiB at most</dd>" in page
    assert f'<dt>Ran beside it</dt><dd><a class="mono" href="/jobs/{other}">' in page
    assert "null" not in page
    assert "Exit code" not in page


def test_a_job_that_ran_alone_had_nothing_beside_it(
    browser: Browser, session: Session, rows: Rows
) -> None:
    job_id = enqueue()
    fail(session, job_id)
    error = {**CRASH, "threads": {"0": job_id}}
    rows("UPDATE jobsd.attempts SET error = %s", json.dumps(error))

    assert "<dt>Ran beside it</dt><dd>no other job</dd>" in browser.get(f"/jobs/{job_id}").text


@pytest.mark.parametrize(
    "odd",
    [
        {"threads": ["<b>"], "rss_kib": "much"},
        {"threads": {"0": "<b>"}, "rss_kib": None},
        {"rss_kib": -1, "threads": None},
    ],
)
def test_an_error_of_another_form_is_shown_as_it_is(
    browser: Browser, session: Session, rows: Rows, odd: dict[str, Any]
) -> None:
    job_id = enqueue()
    fail(session, job_id)
    rows("UPDATE jobsd.attempts SET error = %s", json.dumps({**CRASH, **odd}))

    page = browser.get(f"/jobs/{job_id}")

    assert page.status == 200
    assert "<b>&" not in page.text
    assert died(odd, job_id).rest == {
        name: value
        for name, value in odd.items()
        if isinstance(value, str) or (name == "threads" and isinstance(value, list))
    }


def test_progress_is_a_bar_with_its_note_and_when_it_came(browser: Browser, rows: Rows) -> None:
    job_id = enqueue()
    written = {"done": 150, "total": 600, "note": "<i>page</i> 3", "at": "2026-01-02T03:04:05Z"}
    rows("UPDATE jobsd.jobs SET progress = %s WHERE id = %s", json.dumps(written), job_id)

    page = browser.get(f"/jobs/{job_id}").text

    assert 'max="1" value="0.25"' in page
    assert "150 of 600 (25%), &lt;i&gt;page&lt;/i&gt; 3" in page
    assert 'datetime="2026-01-02T03:04:05+00:00"' in page


def test_progress_may_lack_a_total_and_go_beyond_it() -> None:
    assert progress(None) is None
    assert progress({"done": "much"}) is None

    without, beyond = progress({"done": 7.5}), progress({"done": 9, "total": 6})
    endless = progress({"done": 10**400, "total": 3})

    assert without is not None
    assert (without.part, without.note, without.at) == (None, None, None)
    assert beyond is not None
    assert beyond.part == 1.0
    assert endless is not None
    assert endless.part == 1.0


def test_a_reason_has_links_to_its_subjects(browser: Browser, session: Session) -> None:
    holder, waiting = enqueue(key="k"), enqueue(key="k")
    worker = registry.register(
        session, kind="worker", name="w", supervisor_id=0, metadata={"queues": "a"}
    )
    claim(session, worker, holder)
    queues.pause("mail", session=session)

    page = browser.get(f"/jobs/{waiting}").text

    assert f'Look at</span> <a class="mono" href="/jobs/{holder}">' in page
    for name in ("limits", "queues", "processes"):
        assert f'<a href="/{name}">{name.capitalize()}</a></li>' in page


def test_the_page_has_the_tags_of_a_job(browser: Browser, rows: Rows) -> None:
    tagged, untagged = enqueue(), enqueue()
    rows("UPDATE jobsd.jobs SET tags = '{billing,<eu>}' WHERE id = %s", tagged)

    assert "<dt>Tags</dt><dd>billing, &lt;eu&gt;</dd>" in browser.get(f"/jobs/{tagged}").text
    assert "<dt>Tags</dt>" not in browser.get(f"/jobs/{untagged}").text


def test_an_error_turns_nothing_around_and_shows_its_escapes(
    browser: Browser, session: Session, rows: Rows
) -> None:
    job_id = enqueue()
    fail(session, job_id)
    shown = "\x1b[31mred \u202eexe.png\nnext\tline"
    rows(
        "UPDATE jobsd.attempts SET log = %s, started_at = now(), error = jsonb_build_object("
        "'type', 'Odd', 'message', %s::text, 'stack', %s::text)",
        *(shown, shown, shown),
    )
    rows("UPDATE jobsd.jobs SET arguments = jsonb_build_array(%s::text)", shown)

    page = browser.get(f"/jobs/{job_id}").text

    assert page.count("\\x1b[31mred \\u202eexe.png\nnext\tline") == 3
    assert ("\x1b" in page, "\u202e" in page) == (False, False)


def test_a_long_message_is_folded_above_the_traceback(
    browser: Browser, session: Session, rows: Rows
) -> None:
    job_id = enqueue()
    fail(session, job_id)
    rows(
        "UPDATE jobsd.attempts SET error = jsonb_build_object('type', 'Long',"
        " 'message', repeat('m', 5000) || 'end', 'stack', 'File')"
    )

    before, _, after = browser.get(f"/jobs/{job_id}").text.partition("The whole message")

    assert (before.count("mmmmmmmmmm"), "mend" in before) == (99, False)
    assert "mend</pre></details>" in after
