"""A real browser on a dashboard that is served as it always is."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Any

from dashboard.asking import made
from jobsd.daemon.tree.listener import bound
from jobsd.web.serving import Serving, address_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from jobsd.database.connection import Target

PROGRAM = shutil.which("chromium")


@contextlib.contextmanager
def chromium() -> Generator[Any]:
    """Start Debian's Chromium, driven by Playwright's client."""
    from playwright.sync_api import sync_playwright

    # As root it has no sandbox; the pages are our own.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=PROGRAM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def dashboard(target: Target, **settings: Any) -> Generator[str]:
    """Serve a dashboard; yield its address."""
    listener = bound("127.0.0.1:0")
    address = address_of(listener)
    given = {"environment": "production", "live": "sse", **settings}
    application = made(target, **given)
    serving = Serving(application, listener)
    serving.start()
    try:
        yield f"http://{address}"
    finally:
        serving.stop()
