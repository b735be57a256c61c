"""Where an embedded server may lie: where only those can change its files whom we trust."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from embedded.actor import acting_as, asked
from jobsd.database.clients import other_clients
from jobsd.embedded import Location, Server, location
from jobsd.embedded.account import Account
from jobsd.embedded.folders import make_directory, make_private, open_lock, write
from jobsd.errors import EmbeddedServerError
from kept import kept_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

AS_ROOT = os.geteuid() == 0
takes_root = pytest.mark.skipif(not AS_ROOT, reason="needs root")


@pytest.fixture
def top() -> Iterator[Path]:
    """A folder of ours below a sticky one, which all may enter."""
    folder = kept_folder("jobsd-test-")
    yield folder
    shutil.rmtree(folder)


def folder_of(user: str, path: Path, mode: int = 0o755) -> Path:
    path.mkdir()
    path.chmod(mode)
    shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    return path


def refused(path: Path, step: Path, *facts: str) -> None:
    """Let the server be refused because of this step, and nothing be made."""
    with pytest.raises(EmbeddedServerError) as caught:
        Server(Location(path), os.environ, other_clients).ensure()

    reported = str(caught.value)
    assert f"could change what the server runs: {step} is a " in reported
    assert [fact for fact in facts if fact not in reported] == []
    assert (
        "expected a place by JOBSD_EMBEDDED_DIR that is no link, below folders of root"
        in reported
    )


@takes_root
@pytest.mark.failure(
    "the embedded server's folder, or one above it, belongs to another user, may be written"
    " by others, or is a link",
    "one error that names the folder, its owner and mode, and what was expected; nothing is"
    " made there",
)
@pytest.mark.parametrize("mode", [0o755, 0o777, 0o1777])
def test_a_folder_of_another_user_is_refused(top: Path, mode: int) -> None:
    folder = folder_of("nobody", top / "pg", mode)

    refused(folder, folder, "folder of nobody:", f"mode {mode:04o}")

    assert list(folder.iterdir()) == []


@takes_root
def test_a_folder_below_one_of_another_user_is_refused(top: Path) -> None:
    theirs = folder_of("nobody", top / "theirs")

    refused(theirs / "deep" / "pg", theirs, "folder of nobody:")

    assert list(theirs.iterdir()) == []


@pytest.mark.parametrize("mode", [0o757, 0o777])
def test_a_folder_that_all_may_write_to_is_refused(top: Path, mode: int) -> None:
    (top / "pg").mkdir()
    (top / "pg").chmod(mode)

    refused(top / "pg", top / "pg", f"mode {mode:04o}")


@takes_root
def test_as_root_a_folder_that_a_group_may_write_to_is_refused(top: Path) -> None:
    (top / "shared").mkdir()
    (top / "shared").chmod(0o775)
    shutil.chown(top / "shared", "root", "daemon")

    refused(top / "shared" / "pg", top / "shared", "folder of root:daemon with mode 0775")


def test_a_link_in_its_place_is_refused(top: Path) -> None:
    (top / "real").mkdir()
    (top / "pg").symlink_to("real")

    refused(location(top, {"JOBSD_EMBEDDED_DIR": "pg"}).directory, top / "pg", "is a link of ")


@takes_root
def test_a_link_of_another_user_is_not_followed(top: Path) -> None:
    (top / "real").mkdir()
    (top / "way").symlink_to("real")
    os.lchown(top / "way", pwd.getpwnam("nobody").pw_uid, -1)

    refused(top / "way" / "pg", top / "way", "is a link of nobody:")


def test_no_link_is_followed_out_of_a_sticky_folder(top: Path) -> None:
    (top / "shared").mkdir()
    (top / "shared").chmod(0o1777)
    (top / "shared" / "way").symlink_to(top)

    refused(top / "shared" / "way" / "pg", top / "shared" / "way", "is a link of ")


def test_a_sticky_folder_is_not_itself_a_place() -> None:
    refused(Path("/tmp"), Path("/tmp"), "mode 1777")


def test_a_link_of_ours_on_the_way_is_followed(top: Path) -> None:
    (top / "real").mkdir()
    (top / "way").symlink_to("real")

    make_directory(top / "way" / "deep" / ".." / "pg")

    assert (top / "real" / "pg").is_dir()


def test_links_in_a_circle_are_an_error_of_the_systems(top: Path) -> None:
    (top / "one").symlink_to("two")
    (top / "two").symlink_to("one")

    with pytest.raises(EmbeddedServerError, match="Too many levels of symbolic links"):
        Server(Location(top / "one" / "pg"), os.environ, other_clients).ensure()


def test_a_file_in_its_place_is_refused(top: Path) -> None:
    (top / "pg").touch()

    refused(top / "pg", top / "pg", "is a file of ")


def test_the_socket_has_one_name_whatever_path_leads_there(top: Path) -> None:
    (top / "way").symlink_to(".")
    deep = "d" * 100

    assert Location(top / "way" / deep).socket == Location(top / deep).socket


@takes_root
@pytest.mark.parametrize("mode", [0o775, 0o2775])
def test_a_user_may_share_a_folder_with_a_group_of_his(top: Path, mode: int) -> None:
    shared = grp.getgrnam("daemon").gr_gid
    os.chown(top, 0, shared)
    top.chmod(mode)
    before = os.umask(0o002)
    try:
        with acting_as("nobody", shared):
            for _ in range(2):
                make_directory(top / "app" / "storage" / "postgres")
    finally:
        os.umask(before)

    assert (top / "app" / "storage").stat().st_mode & 0o777 == 0o775
    assert (top / "app" / "storage" / "postgres").stat().st_mode & 0o777 == 0o700


@takes_root
def test_a_users_project_may_be_in_a_world_writable_folder(top: Path) -> None:
    (top / "workspaces").mkdir()
    (top / "workspaces").chmod(0o777)
    project = folder_of("nobody", top / "workspaces" / "app", 0o777)

    with acting_as("nobody"):
        place = location(project, {})
        make_directory(place.directory, project=place.project)

    assert (project / "storage" / "postgres").stat().st_mode & 0o777 == 0o700


@takes_root
def test_a_storage_folder_of_another_user_below_a_project_is_refused(top: Path) -> None:
    project = folder_of("nobody", top / "app", 0o777)
    folder_of("daemon", project / "storage", 0o777)

    with (
        acting_as("nobody"),
        pytest.raises(EmbeddedServerError, match="storage is a folder of daemon:"),
    ):
        make_directory(project / "storage" / "postgres", project=project)


@takes_root
def test_a_user_shares_with_no_group_that_is_not_his(top: Path) -> None:
    folder = folder_of("nobody", top / "home", 0o775)
    shutil.chown(folder, "nobody", "daemon")

    with (
        acting_as("nobody"),
        pytest.raises(EmbeddedServerError, match="nobody:daemon with mode 0775"),
    ):
        make_directory(folder / "postgres")


@takes_root
def test_folders_made_under_any_umask_are_trusted_later(top: Path) -> None:
    folder = folder_of("nobody", top / "home")
    before = os.umask(0)
    try:
        with acting_as("nobody"):
            for _ in range(2):
                make_directory(folder / "storage" / "postgres")
    finally:
        os.umask(before)

    assert (folder / "storage").stat().st_mode & 0o777 == 0o775


@takes_root
def test_root_may_use_the_server_of_a_user(top: Path, reachable: dict[str, str]) -> None:
    place = Location(folder_of("nobody", top / "home") / "postgres")
    assert asked("ensure", place, "nobody", **reachable) == place.url

    assert asked("ensure", place, **reachable) == place.url
    assert asked("stop", place, **reachable) is True


@takes_root
def test_a_link_to_the_data_of_another_user_makes_no_folder_his(top: Path) -> None:
    folder = folder_of("nobody", top / "pg")
    (folder / "data").symlink_to(folder_of("daemon", top / "other"))

    refused(folder, folder, "folder of nobody:", "folders of root or daemon alone")


def test_a_private_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    ours = pwd.getpwuid(os.geteuid())
    folder = tmp_path / "log"
    folder.mkdir()
    folder.chmod(0o755)

    make_private(folder, Account(ours.pw_name, ours.pw_uid, ours.pw_gid))

    assert folder.stat().st_mode & 0o777 == 0o700


@takes_root
def test_a_private_folder_of_another_owner_is_refused(top: Path) -> None:
    folder = folder_of("nobody", top / "log")
    other = pwd.getpwnam("daemon")

    with pytest.raises(EmbeddedServerError, match="something that jobsd did not create"):
        make_private(folder, Account(other.pw_name, other.pw_uid, other.pw_gid))


def test_a_lock_with_a_second_name_is_refused(top: Path) -> None:
    (top / "precious").touch()
    (top / "server.lock").hardlink_to(top / "precious")

    with pytest.raises(EmbeddedServerError, match="two names"):
        open_lock(top / "server.lock")


def test_a_file_that_a_killed_starter_has_left_unfinished_is_written_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "postgresql.conf"
    unfinished = tmp_path / "postgresql.conf.new"
    unfinished.write_text("port = 54")

    write(path, "port = 5432")

    assert path.read_text() == "port = 5432"
    assert not unfinished.exists()
    first = path.stat().st_ino
    unfinished.touch()  # else the next file may get the number of the one before
    write(path, "port = 5432")
    assert path.stat().st_ino == first
