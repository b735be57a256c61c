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
NAMES = (
    *("jobs", "queues", "recurring", "processes", "limits"),
    *("history", "heartbeats", "audit", "system"),
)
"""The pages of the navigation, beside the overview."""
PICTURES = {
    "overview": ("/", "light", 1280),
    "overview-dark": ("/", "dark", 1280),
    "phone": ("/", "light", 390),
    "job": ("/jobs/{waiting}", "light", 1280),
    "failed": ("/jobs/{failed}", "dark", 1280),
    "bulk": ("/bulk?act=retry&q=state:failed", "light", 1280),
    **{name: (f"/{name}", "light", 1280) for name in NAMES},
    "heartbeats": ("/heartbeats", "dark", 1280),
}
"""The name of each picture, with the page, the scheme and the width that it shows."""


def main(url: str) -> None:
    """Fill the database, and take the pictures."""
    from dashboard.chromium import chromium, dashboard
    from dashboard.demo import fill
    from jobsd.database.connection import Session, Target
    from jobsd.database.migrate import migrate
    from jobsd.enqueueing import client

    target = Target(url)
    migrate(target)
    client.configure(client=client.Client(target))
    with contextlib.closing(Session(target, "screenshots")) as session:
        ids = fill(session)
    FOLDER.mkdir(exist_ok=True)
    with dashboard(target) as address, chromium() as browser:
        for name, (path, scheme, width) in PICTURES.items():
            size = {"width": width, "height": 800}
            page = browser.new_page(color_scheme=scheme, viewport=size)
            page.goto(address + path.format(**ids))
            page.screenshot(path=FOLDER / f"dashboard-{name}.png")
            page.close()
    client.configure()


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    main(sys.argv[1])
