"""What a process of a web server does when the tree's keeper can't be started."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from jobsd import in_web

if TYPE_CHECKING:
    from pathlib import Path


def stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{words}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_a_web_server_does_not_end_with_a_keeper_that_is_killed_while_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(tmp_path, monkeypatch, "kill -9 $$")

    in_web.start(os.getpid())


def test_a_keeper_that_can_not_run_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(tmp_path, monkeypatch, "exit 1")

    with pytest.raises(in_web.InWebError, match="JOBSD_IN_WEB"):
        in_web.start(os.getpid())


def test_a_process_with_a_keeper_in_its_server_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(tmp_path, monkeypatch, "exit 1")
    with socket.socket(socket.AF_UNIX) as keeper:
        keeper.bind(in_web.address(os.getpid()))
        keeper.listen()

        in_web.start(os.getpid())
