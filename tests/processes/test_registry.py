"""The rows of processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.processes import registry
from jobsd.processes.database_loop import DatabaseLoop

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from jobsd.processes.context import Context

REGISTER = """
import socket, sys
from jobsd.database.connection import Session, Target
from jobsd.processes import registry
url, name = sys.argv[1:]
socket.sethostname(bytes.fromhex(name))
session = Session(Target(url), "jobsd test")
registry.register(session, kind="worker", name="odd", supervisor_id=0, metadata={})
"""
# Root needs no other user for it, and would be a stranger to the embedded server as one.
_AS_WHOM = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
UNSHARE = ["unshare", *_AS_WHOM, "--uts"]


@pytest.mark.behaviour(16)
@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("wörker-„1“-🛠".encode(), "wörker-„1“-🛠"),
        (b"it's %s {0} \\ <b>", "it's %s {0} \\ <b>"),
        (b"caf\xe9", "caf\\xe9"),
    ],
    ids=["not ASCII", "not plain", "not UTF-8"],
)
def test_a_host_name_is_stored_whatever_its_characters(
    target: Target, session: Session, name: bytes, stored: str
) -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run([*UNSHARE, "true"], check=False).returncode
    ):
        pytest.skip("a host name of one's own is not to be had here")

    subprocess.run(
        [*UNSHARE, sys.executable, "-c", REGISTER, target.url, name.hex()], check=True
    )

    assert [row.hostname for row in registry.processes(session)] == [stored]


@pytest.mark.parametrize("quiet", [False, True])
def test_a_process_that_connects_again_is_still_registered_as_quiet(
    session: Session, context: Context, *, quiet: bool
) -> None:
    class Quiet(DatabaseLoop):
        kind = "worker"

        def metadata(self) -> dict[str, Any]:
            return {"threads": 3}

    context.quiet = quiet
    loop = Quiet(context, session)
    for _ in range(2):
        loop.connect()

    (row,) = registry.processes(session)
    assert row.metadata["threads"] == 3
    assert row.metadata.get("quiet", False) == quiet
