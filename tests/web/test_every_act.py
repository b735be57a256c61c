"""Every act in a real browser: once without JavaScript, once by the keyboard alone."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from dashboard.chromium import PROGRAM, chromium, dashboard
from dashboard.hands import Keys, Pointer
from enqueueing.placed import claim, enqueue, fail
from jobsd.operations import audit
from jobsd.processes import registry
from jobsd.web import acts
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target
    from rows import Rows

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(PROGRAM is None, reason="needs chromium: apt-get install chromium"),
    # As in test_browser.py.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:enqueue blocks the event loop:RuntimeWarning"),
]
SECONDS_MS = 60_000
_COUNT = "SELECT count(*) = {} FROM jobsd.{} WHERE {}"


@dataclass(frozen=True)
class Deed:
    """One act as somebody does it: the page, what is pressed there, and what is so then."""

    page: str
    press: str
    true: str
    """SQL that says whether it was done."""
    opens: str | None = None
    """What is folded, until it is opened."""
    writes: tuple[tuple[str, str], ...] = ()
    follows: str | None = None
    """A link that leads from the page to the button."""
    chooses: tuple[str, ...] = ()
    """Boxes that are ticked."""


@dataclass(frozen=True)
class Things:
    """What the acts are done to."""

    jobs: dict[str, int]
    worker: int
    dispatcher: int


def _state(job_id: int, where: str) -> str:
    return _COUNT.format(1, where, f"job_id = {job_id}")


def _ended(job_id: int) -> str:
    return _COUNT.format(1, "jobs", f"id = {job_id} AND outcome = 'discarded'")


def _of_jobs(jobs: dict[str, int]) -> list[Deed]:
    moved = f"id = {jobs['moved']} AND queue_name = 'slow' AND priority = -2"
    due = f"job_id = {jobs['later']} AND scheduled_at <= now()"
    noted = f"{jobs['claimed']} = ANY (cancelled)"
    return [
        Deed(f"/jobs/{jobs['failed']}", "Retry", _state(jobs["failed"], "ready_executions")),
        Deed(f"/jobs/{jobs['waits']}", "Discard", _ended(jobs["waits"])),
        Deed(f"/jobs/{jobs['claimed']}", "Cancel", _COUNT.format(1, "claims", noted)),
        Deed(
            f"/jobs/{jobs['later']}",
            "Run now",
            _COUNT.format(1, "scheduled_executions", due),
        ),
        Deed(
            f"/jobs/{jobs['moved']}",
            "Change",
            _COUNT.format(1, "jobs", moved),
            opens="Change queue or priority",
            writes=(("Queue", "slow"), ("Priority", "-2")),
        ),
        Deed(
            "/jobs?q=queue:picked",
            "Discard the chosen jobs",
            _COUNT.format(2, "jobs", "queue_name = 'picked' AND outcome = 'discarded'"),
            chooses=tuple(f"Choose job {jobs[name]}" for name in ("one", "two")),
        ),
    ]


def _of_many() -> list[Deed]:
    def many(act: str, queue: str, state: str, true: str, **more: Any) -> Deed:
        page = f"/jobs?q=queue:{queue}+state:{state}"
        link = f"{act} all found…"
        return Deed(page, f"{act} 2 jobs", true, follows=link, **more)

    ready = "job_id IN (SELECT id FROM jobsd.jobs WHERE queue_name = '{}')"
    due = f"scheduled_at <= now() AND {ready.format('due')}"
    gone = "queue_name = 'dropped' AND outcome = 'discarded'"
    return [
        many(
            "Retry",
            "again",
            "failed",
            _COUNT.format(2, "ready_executions", ready.format("again")),
        ),
        many("Run", "due", "scheduled", _COUNT.format(2, "scheduled_executions", due)),
        many("Discard", "dropped", "ready", _COUNT.format(2, "jobs", gone)),
        many(
            "Move",
            "here",
            "ready",
            _COUNT.format(2, "jobs", "queue_name = 'there'"),
            writes=(("Queue", "there"),),
        ),
    ]


def _of_queues() -> list[Deed]:
    paused = "queue_name = 'mail' AND reason = 'the server moves'"
    gone = "queue_name = 'cleared' AND outcome = 'discarded'"
    return [
        Deed(
            "/queues",
            "Pause mail",
            _COUNT.format(1, "pauses", paused),
            opens="Pause mail",
            writes=(("Reason", "the server moves"),),
        ),
        Deed("/queues", "Resume mail", _COUNT.format(0, "pauses", "queue_name = 'mail'")),
        Deed(
            "/queues",
            "Discard them",
            _COUNT.format(2, "jobs", gone),
            opens="Clear cleared",
            writes=(("Discards 2 ready jobs", "cleared"),),
        ),
    ]


def _of_tasks() -> list[Deed]:
    def task(fact: str) -> str:
        return _COUNT.format(1, "recurring_tasks", fact)

    enqueued = "class_name = 'HeartbeatJob' AND queue_name = '{}'"
    new = (("Name", "new one"), ("Schedule", "every day at 3am"), ("Class", "HeartbeatJob"))
    beat = "/recurring/beat"
    return [
        Deed(beat, "Run now", _COUNT.format(1, "jobs", enqueued.format("beats"))),
        Deed(beat, "Disable", task("key = 'beat' AND disabled_at IS NOT NULL")),
        Deed(beat, "Enable", task("key = 'beat' AND disabled_at IS NULL")),
        Deed(
            beat,
            "Change the task",
            task("key = 'beat' AND schedule = 'every 7 hours'"),
            opens="Change it",
            writes=(("Schedule", "every 7 hours"),),
        ),
        Deed(
            "/recurring",
            "Add the task",
            task("key = 'new one' AND schedule = 'every day at 3am'"),
            opens="Add a task",
            writes=new,
        ),
        Deed(
            "/recurring/new%20one",
            "Remove",
            _COUNT.format(0, "recurring_tasks", "key = 'new one'"),
        ),
        Deed("/heartbeats", "Run it now", _COUNT.format(2, "jobs", "class_name ~ 'Heartbeat'")),
    ]


def _deeds(things: Things) -> list[Deed]:
    quiet = f"id = {things.worker} AND metadata ? 'quiet'"
    return [
        # These first: who has given no sign for a minute can be asked for nothing.
        Deed("/processes", "Quiet worker-here", _COUNT.format(1, "processes", quiet)),
        # Whether it has ended, the test asks its parent.
        Deed("/processes", "Restart dispatcher-here", "SELECT true"),
        *_of_jobs(things.jobs),
        *_of_many(),
        *_of_queues(),
        *_of_tasks(),
    ]


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes to be sent signals."""
    command = [sys.executable, "-c", "input()"]
    with contextlib.ExitStack() as living:
        yield [
            living.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))
            for _ in range(2)
        ]


@pytest.fixture
def things(
    session: Session,
    rows: Rows,
    default_client: object,
    children: list[subprocess.Popen[bytes]],
) -> Things:
    """Something for each act to be done to."""
    del default_client
    worker, dispatcher = (
        registry.register(
            session,
            kind=kind,
            name=f"{kind}-here",
            supervisor_id=0,
            metadata={},
            pid=child.pid,
        )
        for kind, child in zip(("worker", "dispatcher"), children, strict=True)
    )
    names = ("failed", "waits", "claimed", "moved")
    jobs = {**{name: enqueue() for name in names}, "later": enqueue(wait="1h")}
    jobs |= {name: enqueue("picked") for name in ("one", "two", "third")}
    fail(session, jobs["failed"], *(enqueue("again") for _ in range(2)))
    claim(session, worker, jobs["claimed"])
    for queue in ("dropped", "here", "cleared"):
        for _ in range(2):
            enqueue(queue)
    for _ in range(2):
        enqueue("due", wait="1h")
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, queue_name)"
        " VALUES ('beat', 'every hour', 'HeartbeatJob', 'beats')"
    )
    return Things(jobs, worker, dispatcher)


def _do(page: Any, hand: Pointer | Keys, address: str, deed: Deed) -> str:
    """Do an act as somebody does it; return what the page says then."""
    hand.come(address + deed.page)
    if deed.follows:
        hand.use(page.get_by_role("link", name=deed.follows, exact=True))
        page.wait_for_url("**/bulk?**")
    if deed.opens:
        hand.use(page.locator("summary", has_text=re.compile(f"^{deed.opens}$")))
    for label in deed.chooses:
        hand.use(page.get_by_label(label, exact=True))
    for label, text in deed.writes:
        field = page.get_by_label(re.compile(f"^{label}")).locator("visible=true")
        hand.write(field, text)
    hand.use(page.get_by_role("button", name=deed.press, exact=True))
    page.wait_for_url(re.compile(r"[?&]done="))
    return str(page.locator(".flash").inner_text())


@pytest.mark.parametrize("way", [Pointer, Keys], ids=["no javascript", "keyboard"])
def test_every_act_is_done(  # noqa: PLR0917 - a browser, and all that is acted on
    program: Any,
    target: Target,
    session: Session,
    rows: Rows,
    things: Things,
    children: list[subprocess.Popen[bytes]],
    way: type[Pointer | Keys],
) -> None:
    posted: list[str] = []

    def note(request: Any) -> None:
        if request.method == "POST":
            posted.append(urlsplit(str(request.url)).path)

    context = program.new_context(java_script_enabled=way.javascript)
    page = context.new_page()
    page.set_default_timeout(SECONDS_MS)
    page.on("request", note)
    deeds = _deeds(things)
    with dashboard(target) as address:
        hand = way(page)
        for deed in deeds:
            said = _do(page, hand, address, deed)
            assert said, deed
            wait_until(partial(_is_done, rows, deed), 60)
        ended = [child.wait(60) < 0 for child in children]
    context.close()

    written = audit.rows(session)
    assert ended == [True, True]
    assert _all_acts() == {act.pattern for act in map(_act, posted)}
    assert len(written) == len(posted) == len(deeds)
    assert {(row["actor"], row["via"]) for row in written} == {("local", "dashboard")}
    assert all(row["ended_at"] for row in written)


def _all_acts() -> set[re.Pattern[str]]:
    acts.find("/")  # all modules with acts are imported by then
    return {each.pattern for each in acts.ACTS}


def _act(path: str) -> acts.Act:
    found = acts.find(path)
    assert found is not None, path
    return found[0]


def _is_done(rows: Rows, deed: Deed) -> bool:
    return rows(deed.true) == [True]
