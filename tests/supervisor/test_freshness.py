"""A value that is read in the background, where even a thread may be refused."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from jobsd.supervisor.monitor import freshness
from jobsd.supervisor.monitor.freshness import Fresh

if TYPE_CHECKING:
    import pytest


def test_a_reading_that_found_no_thread_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(freshness, "RETRY_S", 0.0)
    fresh = Fresh(lambda: 7)
    with monkeypatch.context() as refused:
        refused.setattr(threading.Thread, "start", refuse)
        assert fresh.get(max_age_s=1, wait_s=0.1) is None

    assert fresh.get(max_age_s=1, wait_s=5) == 7
