"""A live page in a real browser keeps its rows, goes on, and says when it is not fresh."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import MADE
from dashboard.chromium import PROGRAM, chromium, dashboard
from enqueueing.placed import enqueue
from jobsd.acts import queues
from jobsd.acts.discards import discard
from jobsd.database.connection import Session
from jobsd.processes import registry
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from jobsd.database.connection import Target
    from jobsd.enqueueing.client import Client

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(PROGRAM is None, reason="needs chromium: apt-get install chromium"),
    # The client of the browser keeps a loop of its own, which it leaves to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    # That loop runs in this thread, and awaits nothing while a test enqueues.
    pytest.mark.filterwarnings("ignore:enqueue blocks the event loop:RuntimeWarning"),
]


@pytest.fixture(scope="module")
def program() -> Generator[Any]:
    """The browser, for all tests here."""
    with chromium() as started:
        yield started


@pytest.fixture
def address(target: Target, default_client: Client) -> Iterator[str]:
    """A dashboard with a few jobs."""
    del default_client
    for _ in range(3):
        enqueue()
    with dashboard(target) as served:
        yield served
    while MADE:
        MADE.pop().close()


@pytest.fixture
def page(program: Any) -> Iterator[Any]:
    context = program.new_context()
    yield context.new_page()
    context.close()


def _state(page: Any) -> str:
    return str(page.evaluate("document.documentElement.dataset.live"))


@pytest.mark.failure(
    "A refresh of a live page is answered too late: a lock holds its tables",
    "The rows stay, a bar says since when they are not fresh, and the page asks on until it is",
)
def test_a_live_page_outlives_a_slow_answer(address: str, page: Any, target: Target) -> None:
    page.goto(f"{address}/jobs")
    rows = page.locator("tbody tr")
    wait_until(lambda: _state(page) == "live", 60)
    with contextlib.closing(Session(target, "jobsd test")) as other:
        other.connection.execute(b"BEGIN")
        other.connection.execute(b"LOCK TABLE jobsd.jobs")
        page.evaluate("wanted = true")
        page.locator("#stale").wait_for(state="visible", timeout=60_000)
        said, kept, state = page.locator("#stale").inner_text(), rows.count(), _state(page)
        other.connection.execute(b"ROLLBACK")
    page.locator("#stale").wait_for(state="hidden", timeout=60_000)
    enqueue()
    wait_until(lambda: rows.count() == 4, 60)

    assert said.startswith("Not fresh since ")
    assert said.endswith(": The database took longer than 5 s for this page. Trying again.")
    assert (kept, state, _state(page)) == (3, "stale", "live")


@pytest.mark.parametrize("status", [401, 403, 500, 503, 200])
def test_a_live_page_keeps_its_rows_whatever_is_answered(
    address: str, page: Any, status: int
) -> None:
    page.goto(f"{address}/queues")
    row = page.locator("tbody tr")

    def answer(route: Any) -> None:
        route.fulfill(status=status, body="<p>no page</p>")

    page.route("**/queues", answer)
    page.evaluate("wanted = true")
    page.locator("#stale").wait_for(state="visible", timeout=60_000)
    kept, state = row.count(), _state(page)
    page.unroute("**/queues")
    page.locator("#stale").wait_for(state="hidden", timeout=60_000)

    assert (kept, state) == (1, "stale")


def test_a_live_page_outlives_a_dashboard_that_is_away(address: str, page: Any) -> None:
    page.goto(f"{address}/queues")

    def abort(route: Any) -> None:
        route.abort()

    page.route("**/queues", abort)
    page.evaluate("wanted = true")
    page.locator("#stale").wait_for(state="visible", timeout=60_000)
    said, kept = page.locator("#stale").inner_text(), page.locator("tbody tr").count()
    page.unroute("**/queues")
    page.locator("#stale").wait_for(state="hidden", timeout=60_000)

    assert kept == 1
    assert "The dashboard can't be reached. Trying again." in said


def test_a_click_on_a_table_or_unfolded_facts_do_not_hold_a_page(
    address: str, page: Any, target: Target
) -> None:
    page.goto(f"{address}/queues")
    page.locator("tbody td").first.click()
    with contextlib.closing(Session(target, "jobsd test")) as session:
        queues.pause("mail", session=session)
        page.get_by_role("button", name="Resume").wait_for(timeout=60_000)
        job_id = enqueue()
        page.goto(f"{address}/jobs/{job_id}")
        paused = page.get_by_text("was paused")
        paused.wait_for(timeout=60_000)
        page.get_by_text("as JSON").click()
        queues.resume("mail", session=session)
        paused.wait_for(state="detached", timeout=60_000)

    assert page.locator("details[open] pre").is_visible()
    assert _state(page) == "live"


def test_an_open_form_holds_a_page_and_the_page_says_so(
    address: str, page: Any, target: Target
) -> None:
    page.goto(f"{address}/queues")
    fold = page.locator("summary", has_text="Pause")
    fold.click()
    wait_until(lambda: _state(page) == "held", 60)
    said = page.locator("#live-state").inner_text()
    with contextlib.closing(Session(target, "jobsd test")) as session:
        queues.pause("mail", session=session)
    fold.click()
    page.get_by_role("button", name="Resume").wait_for(timeout=60_000)

    assert said == "held: a form is open"


def test_a_ticked_box_holds_a_page_and_an_unticked_one_does_not(
    address: str, page: Any
) -> None:
    page.goto(f"{address}/jobs")
    box = page.get_by_role("checkbox", name="Choose job").first
    box.check()
    wait_until(lambda: _state(page) == "held", 60)
    said = page.locator("#live-state").inner_text()
    enqueue()
    box.uncheck()
    wait_until(lambda: page.locator("tbody tr").count() == 4, 60)

    assert said == "held: a box is ticked"


def test_a_change_of_the_health_is_announced_to_screen_readers_once(
    address: str, page: Any, target: Target
) -> None:
    page.goto(f"{address}/")
    wait_until(lambda: _state(page) == "live", 60)
    news = page.locator("#news[role=status]")
    before = news.inner_text()
    with contextlib.closing(Session(target, "jobsd test")) as session:
        name = registry.new_name("supervisor")
        registry.register(session, kind="supervisor", name=name, supervisor_id=0, metadata={})
    wait_until(lambda: bool(news.inner_text()), 60)
    announced = news.inner_text()
    page.evaluate("document.getElementById('news').textContent = ''")
    enqueue()
    page.locator("a.tone-ready b", has_text="4").wait_for(timeout=60_000)

    assert before == ""
    assert announced.startswith(
        "The health has changed. Jobs wait in queues from which no running"
    )
    assert news.inner_text() == ""


def test_the_result_of_an_act_is_not_shown_again_after_a_reload(
    address: str, page: Any
) -> None:
    page.goto(f"{address}/queues")
    page.locator("summary", has_text="Pause").click()
    page.get_by_role("button", name="Pause").click()
    shown = page.locator(".flash")
    shown.wait_for(timeout=60_000)
    page.reload()

    assert shown.count() == 0
    assert "done=" not in page.url


def test_an_ended_job_is_not_asked_for_again(address: str, page: Any, target: Target) -> None:
    job_id = enqueue()
    page.goto(f"{address}/jobs/{job_id}")
    during = page.locator("#live[data-parts]").count()
    with contextlib.closing(Session(target, "jobsd test")) as session:
        discard(job_id, session=session)
    page.get_by_text("Discarded because").wait_for(timeout=60_000)

    assert (during, page.locator("#live[data-parts]").count()) == (1, 0)


def test_a_page_without_changes_is_not_sent_again_and_counts_its_ages_on(
    address: str, page: Any
) -> None:
    answers: list[int] = []

    def note(response: Any) -> None:
        if response.url == f"{address}/jobs":
            answers.append(response.status)

    page.on("response", note)
    page.goto(f"{address}/jobs")
    age = page.locator("tbody tr time.age").last

    def is_spared() -> bool:
        page.evaluate("wanted = true")
        return 304 in answers

    wait_until(is_spared, 60)
    page.evaluate("flying = true")  # no further answer is asked for
    first = age.inner_text()
    wait_until(lambda: age.inner_text() != first, 20)
    page.evaluate("flying = false")
    enqueue()
    wait_until(lambda: page.locator("tbody tr").count() == 4, 60)

    assert answers[0] == 200
    assert page.locator("#stale").is_hidden()
