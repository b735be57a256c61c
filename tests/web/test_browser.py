"""The pages in a real browser: for everybody, in every size, with and without JavaScript."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import MADE, Browser, made
from dashboard.chromium import PROGRAM, chromium, dashboard
from dashboard.demo import fill
from jobsd.configuration.users import User
from jobsd.database.connection import Session
from jobsd.enqueueing import client
from jobsd.operations import audit
from jobsd.web import routes
from waiting import wait_until

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
OF_POLLS = {"type": "rule", "values": ["color-contrast", "target-size", "link-in-text-block"]}
"""What the scheme and the width of a page can change."""
SIZES = [("light", 320, ALL), ("dark", 1280, OF_POLLS)]
FEW = """
for (const e of document.querySelectorAll('tr:nth-child(n+7), rect')) e.remove();
for (const e of document.querySelectorAll('details')) e.open = true;
"""
"""Of many rows that are alike, the first ones do; what is folded is opened."""
USELESS = """() => {
  const seen = e => e.checkVisibility({visibilityProperty: true});
  const all = selector => [...document.querySelectorAll(selector)].filter(seen);
  return [
    ...(document.querySelector('main h1') ? [] : [document.documentElement]),
    ...all('[data-script]'),
    ...all('a').filter(e => !e.getAttribute('href')),
    ...all('button, input, select').filter(e => !(e.form && e.form.getAttribute('action'))),
  ].map(e => e.outerHTML.slice(0, 200));
}"""
"""Finds what can be seen on a page, and does nothing where no script runs."""
NOTE_BREAKS = """() => {
  const root = document.documentElement;
  const note = () => { root.dataset.broken = "yes"; };
  new MutationObserver(note).observe(root, {attributeFilter: ["data-streaming"]});
}"""
"""Marks a page whose stream ends, so that it asks for itself."""
ERRORS = ("/log-in", "/nobody-may")
STREAM_S = 90.0
"""A page whose stream could not be opened asks for it again after 30 s."""
AUDITED = "runOnly => axe.run({runOnly, resultTypes: ['violations'], iframes: false})"


class Shop:
    """A dashboard on a queue that is full of things, and a browser."""

    bulk: tuple[int, ...] = ()
    """Rows of the audit with acts on many jobs, of which one has ended."""

    def __init__(self, target: Target, address: str, browser: Any, ids: dict[str, int]) -> None:
        self.target = target
        self.address = address
        self.browser = browser
        self.ids = ids

    def pages(self) -> list[str]:
        """Return the addresses of pages: every one of them, some as they are at times."""
        pages = ["", "jobs", "queues", "recurring", "processes", "heartbeats", "audit"]
        pages += ["limits", "history", "history?span=month", "history?queue=mail", "system"]
        pages += [f"jobs/{job_id}" for job_id in self.ids.values()]
        pages += ["jobs?q=nothing+state:dead", "jobs?q=state:failed", "queues?done=Done."]
        pages += ["recurring/heartbeat", "recurring/clean_up", "bulk?act=move&q=queue:mail"]
        pages += ["queues/mail", "queues/new", "classes/shop.mail.welcome", "hosts/web-1"]
        pages += ["recurring/preview?schedule=@daily", "recurring/preview?schedule=now"]
        return [*(f"/{page}" for page in pages), *(f"/bulk/{row}" for row in self.bulk)]

    def paths(self) -> list[str]:
        """Return the addresses of all pages, those of errors too."""
        return [*self.pages(), "/nothing", "/jobs/4711", "/bulk?act=retry&q=state:x", *ERRORS]

    def refusals(self) -> dict[str, str]:
        """Return the pages of who may not come in: a browser asks for a name instead."""
        user = User("ann", "viewer", password="correct horse")
        refusing = {"/log-in": (user,), "/nobody-may": ()}
        return {
            path: Browser(made(self.target, open_role=None, users=users)).get("/").text
            for path, users in refusing.items()
        }

    @contextlib.contextmanager
    def page(self, **settings: Any) -> Generator[Any]:
        context = self.browser.new_context(**settings)
        for path, body in self.refusals().items():
            context.route(f"**{path}", _sending(body))
        try:
            yield context.new_page()
        finally:
            context.close()


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
        acts = [audit.begin(session, "retry", "all", actor="a", wanted=n) for n in (9, 20_000)]
        acts[0].end()
        bulk = tuple(act.id for act in acts)
    with dashboard(target) as address:
        made_shop = Shop(target, address, program, ids)
        made_shop.bulk = bulk
        yield made_shop
    client.configure()
    while MADE:
        MADE.pop().close()


def _sending(body: str) -> Callable[[Any], None]:
    def send(route: Any) -> None:
        route.fulfill(body=body, content_type="text/html; charset=utf-8")

    return send


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
            page.evaluate(FEW)
            if page.evaluate("document.documentElement.scrollWidth") > width:
                found.append(f"{path}: wider than {width}")
            reported = page.evaluate(AUDITED, rules)
            found += [
                f"{path} {width} {scheme}: {each['id']}: {each['nodes'][0]['html'][:200]}"
                for each in reported["violations"]
            ]
    return found


def test_no_page_keeps_anybody_out(shop: Shop) -> None:
    found = [fault for each in SIZES for fault in _violations(shop, *each)]

    assert found == []


def test_every_page_can_be_used_without_javascript(shop: Shop) -> None:
    found: list[str] = []
    with shop.page(java_script_enabled=False) as page:
        for path in shop.paths():
            page.goto(shop.address + path)
            found += [f"{path}: {each}" for each in page.evaluate(USELESS)]

    assert found == []


def test_every_page_is_among_them(shop: Shop) -> None:
    routes.find("GET", "/")
    seen = {routes.find("GET", path.partition("?")[0])[0].pattern for path in shop.pages()}

    assert seen == {each.pattern for each in routes.ROUTES}


def _change(shop: Shop, statement: str) -> None:
    with contextlib.closing(Session(shop.target, "jobsd test")) as session:
        session.connection.execute(statement.encode())


@pytest.mark.parametrize("live", ["sse", "poll"])
def test_a_page_refreshes_itself_and_nothing_is_refused_by_its_policy(
    shop: Shop, live: str
) -> None:
    errors: list[str] = []
    with dashboard(shop.target, live=live) as address, shop.page() as page:
        page.on("console", _errors_into(errors))
        page.on("pageerror", _into(errors))
        page.goto(f"{address}/queues")
        if live == "sse":
            # `wait_for_function` would need an eval, which the policy of our pages refuses.
            page.locator("html[data-streaming=yes]").wait_for(state="attached", timeout=60_000)
            # What a stream does is not what asking now and then does.
            page.evaluate(NOTE_BREAKS)
        _change(shop, "DELETE FROM jobsd.pauses")
        page.get_by_role("button", name="Resume").wait_for(state="detached", timeout=60_000)
        broken = page.evaluate("document.documentElement.dataset.broken")

    assert (errors, broken) == ([], None)


HIDE = (
    "hidden => { Object.defineProperty(document, 'hidden', {get: () => hidden,"
    " configurable: true}); document.dispatchEvent(new Event('visibilitychange')) }"
)


def _is_opened_without_stream(page: Any, shop: Shop) -> bool:
    """Open a hidden page; return whether it has refused its stream.

    One whose stream could not be opened has nothing to refuse, and asks again once it is seen.
    """
    from playwright.sync_api import TimeoutError as TooLateError

    page.goto(f"{shop.address}/queues")
    with contextlib.suppress(TooLateError):
        page.locator("html[data-streaming=no]").wait_for(state="attached", timeout=20_000)
        return True
    return False


def test_a_page_that_is_opened_in_the_background_streams_once_it_is_seen(shop: Shop) -> None:
    watching = MADE[-1].watching
    with shop.page() as page:
        page.add_init_script(f"({HIDE})(true)")
        wait_until(lambda: _is_opened_without_stream(page, shop), STREAM_S)
        wait_until(lambda: watching.count == 0, STREAM_S)
        page.evaluate(HIDE, arg=False)
        wait_until(lambda: watching.count == 1, STREAM_S)
    wait_until(lambda: watching.count == 0, STREAM_S)


def test_a_page_in_the_background_is_sent_nothing_and_catches_up(shop: Shop) -> None:
    watching = MADE[-1].watching
    with shop.page() as page:
        page.goto(f"{shop.address}/queues")
        wait_until(lambda: watching.count == 1, STREAM_S)
        page.evaluate(HIDE, arg=True)
        wait_until(lambda: watching.count == 0, STREAM_S)
        _change(shop, "DELETE FROM jobsd.pauses")
        page.evaluate(HIDE, arg=False)
        page.get_by_role("button", name="Resume").wait_for(state="detached", timeout=30_000)
        wait_until(lambda: watching.count == 1, STREAM_S)
        page.get_by_label("Live").uncheck()
        _change(shop, "INSERT INTO jobsd.pauses (queue_name) VALUES ('mail')")
        page.reload()
        stays = page.get_by_label("Live").is_checked()

    assert not stays
    wait_until(lambda: watching.count == 0, STREAM_S)


ANSWERED = """text => {
  let number = 0;
  window.fetch = async () => {
    let rows = "";
    for (let n = 0; n < number % 7; n++) rows += `<p id="r${n}">${number}</p>`;
    number++;
    const changed = text.replace("<section", rows + "<section");
    return new Response(changed, {headers: {"Content-Type": "text/html"}});
  };
}"""
AGAIN = """times => new Promise(done => {
  const live = document.getElementById("live");
  let left = times;
  document.addEventListener("htmx:finally:request", function next() {
    if (left-- > 0) return htmx.trigger(live, "refresh");
    document.removeEventListener("htmx:finally:request", next);
    done();
  });
  htmx.trigger(live, "refresh");
})"""


def _kept(devtools: Any) -> dict[str, float]:
    for _ in range(2):
        devtools.send("HeapProfiler.collectGarbage")
    found = devtools.send("Performance.getMetrics")["metrics"]
    return {each["name"]: each["value"] for each in found}


def _updated(shop: Shop, times: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return what a page has kept before and after so many updates, each another one."""
    with shop.page() as page:
        page.goto(f"{shop.address}/queues")
        devtools = page.context.new_cdp_session(page)
        devtools.send("Performance.enable")
        devtools.send("HeapProfiler.enable")
        page.evaluate(ANSWERED, page.content())
        page.evaluate("document.getElementById('pause').click()")
        page.evaluate(AGAIN, 105)
        before = _kept(devtools)
        page.evaluate(AGAIN, times)
        return before, _kept(devtools)


def _is_kept(before: dict[str, float], after: dict[str, float]) -> bool:
    return (
        after["Nodes"] <= before["Nodes"] + 50
        and after["JSEventListeners"] <= before["JSEventListeners"] + 5
        and after["JSHeapUsedSize"] <= 1.25 * before["JSHeapUsedSize"] + 500_000
    )


def test_updates_leave_nothing_behind_in_a_page(shop: Shop) -> None:
    before, after = _updated(shop, 350)

    assert _is_kept(before, after), (before, after)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_thousand_updates_leave_nothing_behind_in_a_page(shop: Shop) -> None:
    before, after = _updated(shop, 10_000)

    assert _is_kept(before, after), (before, after)
