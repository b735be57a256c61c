"""What docs/guide/systemd.md lets an operator type beside the service."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from docs.pages import blocks

from .service import SOURCE

if TYPE_CHECKING:
    from .service import Service

DOCUMENT = (SOURCE / "docs/guide/systemd.md").read_text(encoding="utf-8")


def test_a_command_is_asked_as_the_service_asks(service: Service) -> None:
    service.configure("workers: [{}]\n", DATABASE_URL="postgresql://127.0.0.1:1/its")
    [typed] = [each for each in blocks(DOCUMENT, "console") if "systemd-run" in each]

    words = shlex.split(typed.removeprefix("$ sudo "))
    status, check = (
        service.box.run(*words[:-1], word, check=False) for word in ("status", "check")
    )

    assert (status.returncode, check.returncode) == (4, 0)
    assert "host=127.0.0.1 port=1 dbname=its" in status.stderr
    assert "/etc/jobsd/queue.yml has workers and no dispatchers" in check.stderr
