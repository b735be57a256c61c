"""Makes the pictures of the dashboard that the README and the guide show.

    .venv/bin/python tests/dashboard/screenshots.py postgresql://…

The database must be an empty one. It needs chromium.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
FOLDER = TESTS.parent / "docs/images"


def main(url: str) -> None:
    """Fill the database, and take the pictures."""
    from dashboard.chromium import chromium, dashboard
    from dashboard.demo import fill
    from jobsd.database.connection import Session, Target
    from jobsd.database.migrate import migrate
    from jobsd.jobs import client

    target = Target(url)
    migrate(target)
    client.configure(client=client.Client(target))
    with contextlib.closing(Session(target, "screenshots")) as session:
        ids = fill(session)
    pages = {
        "overview": ("/", "light", 1280),
        "overview-dark": ("/", "dark", 1280),
        "job": (f"/jobs/{ids['waiting']}", "light", 1280),
        "history": ("/history", "light", 1280),
        "heartbeats": ("/heartbeats", "dark", 1280),
        "phone": ("/", "light", 390),
    }
    FOLDER.mkdir(exist_ok=True)
    with dashboard(target) as address, chromium() as browser:
        for name, (path, scheme, width) in pages.items():
            size = {"width": width, "height": 800}
            page = browser.new_page(color_scheme=scheme, viewport=size)
            page.goto(address + path)
            page.screenshot(path=FOLDER / f"dashboard-{name}.png")
            page.close()
    client.configure()


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    main(sys.argv[1])
