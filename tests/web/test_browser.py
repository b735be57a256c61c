"""The pages in a real browser: for everybody, in every size, with and without JavaScript."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import MADE
from dashboard.chromium import PROGRAM, chromium, dashboard
from dashboard.demo import fill
from jobsd.database.connection import Session
from jobsd.jobs import client, inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from jobsd.database.connection import Target

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(PROGRAM is None, reason="needs chromium: apt-get install chromium"),
    # The client of the browser keeps a loop of its own, which it leaves to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    # That loop runs in this thread, and awaits nothing while the queue is filled.
    pytest.mark.filterwarnings("ignore:enqueue blocks the event loop:RuntimeWarning"),
]
AXE = Path(__file__).parents[1] / "dashboard/axe.min.js"
ALL = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
OF_LOOKS = {"type": "rule", "values": ["color-contrast", "target-size", "link-in-text-block"]}
"""What the scheme and the width of a page can change."""
SIZES = [("light", 320, ALL), ("dark", 1280, OF_LOOKS)]
FEW = "for (const e of document.querySelectorAll('tr:nth-child(n+7), rect')) e.remove()"
"""Of many rows that are alike, the first ones do."""
AUDITED = "runOnly => axe.run({runOnly, resultTypes: ['violations'], iframes: false})"


class Shop:
    """A dashboard on a queue that is full of things, and a browser."""

    def __init__(self, target: Target, address: str, browser: Any, ids: dict[str, int]) -> None:
        self.target = target
        self.address = address
        self.browser = browser
        self.ids = ids

    def paths(self) -> list[str]:
        jobs = [f"/jobs/{job_id}" for job_id in self.ids.values()]
        pages = ["", "jobs", "queues", "recurring", "processes", "heartbeats", "audit"]
        pages += ["limits", "history", "history?span=month", "system"]
        more = ["/jobs?q=nothing+state:dead", "/recurring/heartbeat", "/nothing"]
        more += ["/recurring/clean_up", "/recurring/preview?schedule=@daily"]
        more += ["/bulk?act=move&q=queue:mail", "/jobs?q=state:failed"]
        return [*(f"/{page}" for page in pages), *jobs, *more]

    @contextlib.contextmanager
    def page(self, **settings: Any) -> Generator[Any]:
        context = self.browser.new_context(**settings)
        try:
            yield context.new_page()
        finally:
            context.close()

    def state(self, name: str) -> str:
        with contextlib.closing(Session(self.target, "jobsd test")) as session:
            return inspect.find(session, self.ids[name]).job.state


@pytest.fixture(scope="module")
def program() -> Generator[Any]:
    """The browser, for all tests here."""
    with chromium() as started:
        yield started


@pytest.fixture
def shop(target: Target, program: Any) -> Iterator[Shop]:
    client.configure(client=client.Client(target))
    with contextlib.closing(Session(target, "jobsd test")) as session:
        ids = fill(session)
    with dashboard(target) as address:
        yield Shop(target, address, program, ids)
    client.configure()
    while MADE:
        MADE.pop().close()


def _into(found: list[str]) -> Callable[[Any], None]:
    def add(error: Any) -> None:
        found.append(str(error))

    return add


def _errors_into(found: list[str]) -> Callable[[Any], None]:
    def add(line: Any) -> None:
        if line.type == "error":
            found.append(str(line.text))

    return add


def _violations(shop: Shop, scheme: str, width: int, rules: object) -> list[str]:
    found: list[str] = []
    size = {"width": width, "height": 800}
    with shop.page(color_scheme=scheme, viewport=size, bypass_csp=True) as page:
        page.add_init_script(path=AXE)
        page.on("pageerror", _into(found))
        for path in shop.paths():
            page.goto(shop.address + path)
            if page.evaluate("document.documentElement.scrollWidth") > width:
                found.append(f"{path}: wider than {width}")
            page.evaluate(FEW)
            told = page.evaluate(AUDITED, rules)
            found += [
                f"{path} {width} {scheme}: {each['id']}: {each['nodes'][0]['html'][:200]}"
                for each in told["violations"]
            ]
    return found


def test_no_page_keeps_anybody_out(shop: Shop) -> None:
    found = [fault for each in SIZES for fault in _violations(shop, *each)]

    assert found == []


def test_an_act_is_done_without_javascript_and_by_keyboard_alone(shop: Shop) -> None:
    with shop.page(java_script_enabled=False) as page:
        page.goto(f"{shop.address}/jobs/{shop.ids['failed']}")
        page.get_by_role("button", name="Retry").click()
        said = page.get_by_role("status").inner_text()
    retried = shop.state("failed")

    with shop.page() as page:
        page.goto(f"{shop.address}/jobs/{shop.ids['waiting']}")
        page.keyboard.press("Tab")
        first = page.evaluate("document.activeElement.textContent")
        page.get_by_role("button", name="Discard").focus()
        page.keyboard.press("Enter")
        page.get_by_role("status").wait_for()

    assert f"Job {shop.ids['failed']} is ready again." in said
    assert (retried, shop.state("waiting")) == ("ready", "discarded")
    assert first == "Skip to the content"


def test_a_page_refreshes_itself_and_nothing_is_refused_by_its_policy(shop: Shop) -> None:
    errors: list[str] = []
    with shop.page() as page:
        page.on("console", _errors_into(errors))
        page.on("pageerror", _into(errors))
        page.goto(f"{shop.address}/queues")
        with contextlib.closing(Session(shop.target, "jobsd test")) as session:
            session.connection.execute("DELETE FROM jobsd.pauses")
        page.get_by_role("button", name="Resume").wait_for(state="detached", timeout=30_000)

    assert errors == []
