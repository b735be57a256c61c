"""The Debian package: built, installed in a box of its own, and run as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

from .box import Box, why_not
from .package import PACKAGING, build, field, later, unpacked
from .service import SOURCE, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

# A build on a busy machine takes its time, and a fixture's time is its first test's.
pytestmark = pytest.mark.timeout(600)

NOWHERE = "DATABASE_URL=postgresql://127.0.0.1:1/nowhere\n"
ASK = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:{}/metrics').read().decode())"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built from the source as it is."""
    return build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def content(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the package would put on a machine, in a folder."""
    return unpacked(package, tmp_path_factory.mktemp("content") / "root")


@pytest.fixture(scope="module")
def installed(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service of the package, in a box in which nothing else of ours is."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("box")
    newer = later(package, folder)
    box = Box(
        folder,
        {package: "/run/jobsd.deb", newer: "/run/later.deb", PACKAGING: "/run/debian"},
    )
    try:
        # It would have no service started or stopped.
        box.run("rm", "-f", "/usr/sbin/policy-rc.d")
        done = box.run("dpkg", "--install", "/run/jobsd.deb", check=False)
        if "dependency problems" in done.stderr:
            pytest.skip(done.stderr)
        assert done.returncode == 0, done.stdout + done.stderr
        yield Service(box)
    finally:
        box.end()


def test_each_build_has_a_version_that_grows_with_time(package: Path) -> None:
    base, _, built = field(package, "Version").partition("+")
    at = datetime.strptime(built, "%Y%m%d%H%M%S").replace(tzinfo=UTC)

    assert f'\nversion = "{base}"\n' in (SOURCE / "pyproject.toml").read_text(encoding="utf-8")
    assert abs((datetime.now(UTC) - at).total_seconds()) < 3600


def test_the_package_depends_on_the_libraries_of_the_program(package: Path) -> None:
    needed = {word.split()[0] for word in field(package, "Depends").split(", ")}

    assert needed >= {
        *("python3-click", "python3-croniter", "python3-prometheus-client", "python3-psycopg"),
        *("python3-setproctitle", "python3-structlog", "python3-yaml"),
        "tzdata",
    }
    assert "python3-rich" not in needed, "only benchmarks and checks of the suite draw with it"


def test_lintian_finds_no_fault(package: Path) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")

    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", package],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_every_link_of_its_documents_leads_to_an_existing_file(content: Path) -> None:
    folder = content / "usr/share/doc/jobsd"
    pages = list(folder.rglob("*.md"))
    links = [
        (page, link.partition("#")[0])
        for page in pages
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in link and not link.startswith("#")
    ]

    assert len(pages) > 50
    assert len(links) > 100
    assert [(page, link) for page, link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "path",
    [
        "usr/share/man/man1/jobsd.1.gz",
        "usr/share/bash-completion/completions/jobsd",
        "usr/share/zsh/vendor-completions/_jobsd",
        "usr/share/fish/vendor_completions.d/jobsd.fish",
        "usr/lib/python3/dist-packages/jobsd/shipped/prometheus/jobsd.rules.yml",
    ],
)
def test_the_package_brings_what_belongs_to_a_program_of_debian(
    content: Path, path: str
) -> None:
    assert (content / path).stat().st_size > 100


def test_rules_and_documents_are_at_the_paths_of_units_and_pages(content: Path) -> None:
    link = content / "usr/share/jobsd/prometheus"
    unit = (content / "usr/lib/systemd/system/jobsd.service").read_text(encoding="utf-8")
    (page,) = re.findall(r"^Documentation=file:///(.+)$", unit, re.MULTILINE)

    assert (link.parent / link.readlink() / "jobsd.rules.yml").resolve().exists()
    assert (content / page).exists()


def test_installing_makes_user_and_folders_and_starts_nothing(installed: Service) -> None:
    box = installed.box

    assert box.ask("id", "-un", "jobsd") == "jobsd"
    assert box.ask("stat", "-c%a %U %G", "/etc/jobsd") == "750 root jobsd"
    assert installed.show("ActiveState", "UnitFileState") == ["inactive", "disabled"]


def test_the_installed_service_beats(installed: Service) -> None:
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("no PostgreSQL of Debian's is installed")
    installed.box.write("/etc/jobsd/env", "JOBSD_EMBEDDED=1\n")

    installed.control("start")

    wait_until(lambda: "[HEARTBEAT]" in installed.reported(), what=installed.reported)
    assert installed.show("Type") == ["notify"]
    installed.control("reload")
    assert len(installed.events("supervisor.reloaded")) == 1
    installed.control("stop")
    assert installed.show("Result") == ["success"]


def test_systemd_accepts_the_installed_units(installed: Service) -> None:
    units = ("jobsd.service", "jobsd@.service")

    done = installed.box.run("systemd-analyze", "verify", *units, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_an_upgrade_gives_every_instance_the_new_program(
    package: Path, installed: Service
) -> None:
    box, old = installed.box, field(package, "Version")
    services = {9394: installed, 9395: Service(box, "jobsd@mail")}
    box.write("/etc/jobsd/env", NOWHERE)
    box.write("/etc/jobsd/mail/queue.yml", "workers: [{queues: mail}]\n")
    box.write("/etc/jobsd/mail/env", "JOBSD_METRICS_BIND=127.0.0.1:9395\n")
    for service in services.values():
        service.control("start")
    before = {port: service.pid for port, service in services.items()}

    box.run("dpkg", "--unpack", "/run/later.deb")
    unpacked_only = {port: _version(service, port) for port, service in services.items()}
    box.run("dpkg", "--configure", "jobsd")

    assert unpacked_only == dict.fromkeys(services, old)
    assert {port: _version(service, port) for port, service in services.items()} == (
        dict.fromkeys(services, f"{old.partition('+')[0]}+99990101000000")
    )
    assert all(service.pid != before[port] for port, service in services.items())


def test_removing_ends_every_instance_and_keeps_the_configuration(installed: Service) -> None:
    box, instance = installed.box, Service(installed.box, "jobsd@mail")
    box.write("/etc/jobsd/env", NOWHERE)
    box.run("systemctl", "enable", "--quiet", "jobsd", "jobsd@mail")
    for service in (installed, instance):
        service.control("start")

    box.run("dpkg", "--remove", "jobsd")

    assert not box.ask("pgrep", "-f", "jobsd supervisor")
    assert instance.show("ActiveState") == ["inactive"]
    assert box.ask("ls", "/etc/jobsd").split() == ["env", "mail", "queue.yml", "recurring.yml"]


def test_a_removed_and_reinstalled_package_runs_as_before(installed: Service) -> None:
    box, instance = installed.box, Service(installed.box, "jobsd@mail")

    box.run("dpkg", "--install", "/run/later.deb")

    assert [each.show("ActiveState") for each in (installed, instance)] == [["active"]] * 2


def test_a_purge_leaves_no_password_and_no_instance(installed: Service) -> None:
    box = installed.box

    box.run("dpkg", "--purge", "jobsd")

    assert not box.ask("pgrep", "-f", "jobsd supervisor")
    assert box.run("test", "-e", "/etc/jobsd", check=False).returncode == 1
    assert box.ask("find", "/etc/systemd/system", "-path", "*.wants/jobsd*") == ""


@pytest.mark.long
def test_the_autopkgtest_passes(package: Path, tmp_path: Path) -> None:
    if reason := why_not() or ("" if shutil.which("autopkgtest") else "no autopkgtest here"):
        pytest.skip(reason)
    folder = tmp_path / "box"
    folder.mkdir()
    box = Box(folder, {package: "/run/jobsd.deb", PACKAGING: "/run/source/debian"})
    try:
        box.run("rm", "-f", "/usr/sbin/policy-rc.d")
        box.run("cp", "-r", "/run/source", "/tmp/source")
        # Its own system may not be changed for each test; this one is made for this one alone.
        words = ("--ignore-restrictions=isolation-container", "--no-built-binaries")
        done = box.run(
            *("autopkgtest", *words, "/run/jobsd.deb", "/tmp/source/", "--", "null"),
            check=False,
            within_s=400,
        )
    finally:
        box.end()

    assert re.search(r"^service +PASS$", done.stdout + done.stderr, re.MULTILINE), done


def _version(service: Service, port: int) -> str:
    """Return which jobsd a tree says that it is."""

    def asked() -> str:
        text = service.box.ask("/usr/bin/python3", "-c", ASK.format(port))
        found = re.search(r'^jobsd_build_info{.*version="([^"]+)"', text, re.MULTILINE)
        return found[1] if found else ""

    reported: str = wait_until(asked, what=service.reported)
    return reported
