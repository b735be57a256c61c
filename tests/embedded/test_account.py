"""The user that a server runs as, and what its programs get from us."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from typing import TYPE_CHECKING

import pytest

from embedded.actor import acting_as
from jobsd.embedded import Location
from jobsd.embedded.account import Account, server_account
from jobsd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from pathlib import Path

takes_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def account_of(uid: int) -> Account:
    entry = pwd.getpwuid(uid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def test_the_programs_of_a_server_get_only_the_variables_that_find_programs() -> None:
    ours = {"PATH": "/usr/bin:/bin", "PGPORT": "1", "DATABASE_URL": "secret"}

    seen = account_of(os.geteuid()).run(("env",), ours).stdout

    assert seen == "PATH=/usr/bin:/bin\n"


@takes_root
def test_the_programs_of_a_server_have_no_group_of_its_starter() -> None:
    nobody = account_of(pwd.getpwnam("nobody").pw_uid)
    before = os.getgroups()
    os.setgroups([0, grp.getgrnam("daemon").gr_gid])
    try:
        seen = nobody.run(("id", "-G"), os.environ).stdout
    finally:
        os.setgroups(before)

    assert set(map(int, seen.split())) == set(os.getgrouplist("nobody", nobody.gid))


@takes_root
def test_no_server_runs_as_root_whatever_user_is_asked_for(tmp_path: Path) -> None:
    account = server_account(Location(tmp_path), {"JOBSD_PG_USER": "root"})

    assert account.name in {"postgres", "nobody"}


@takes_root
def test_an_ordinary_user_is_refused_the_data_of_another(fresh_place: Location) -> None:
    fresh_place.data.mkdir(parents=True)
    shutil.chown(fresh_place.data, "daemon")
    other = fresh_place.data.stat().st_uid

    with acting_as("nobody"), pytest.raises(EmbeddedServerError) as caught:
        server_account(fresh_place, os.environ)

    assert f"the server belongs to user id {other}" in str(caught.value)
    assert "to be run by that user, not by nobody" in str(caught.value)
