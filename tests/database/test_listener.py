"""What a loop learns of the connection on which it is woken."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from jobsd.database.connection import OUTAGES, Session
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Target


def test_a_loop_hears_that_its_own_connection_is_broken(
    target: Target, session: Session
) -> None:
    with contextlib.closing(Session(target, "listens", listen=True)) as listens:
        pid = listens.connection.info.backend_pid
        session.connection.execute("SELECT pg_terminate_backend(%s)", [pid])

        with pytest.raises(OUTAGES):
            wait_until(lambda: bool(listens.notifications()))


def test_each_connection_that_listens_has_a_number_of_its_own(target: Target) -> None:
    with contextlib.closing(Session(target, "listens", listen=True)) as listens:
        numbers = [listens.listener_number]
        for _ in range(2):
            listens.reconnect()
            numbers.append(listens.listener_number)
            listens.close()
            numbers.append(listens.listener_number)

    assert numbers == [0, 1, 0, 2, 0]
