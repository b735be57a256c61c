"""The image, built by Debian's buildah from a base of Debian's packages, and run as it says."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness.tree import ENDS_WITH_US
from jobsd.daemon.generate.new_project import write_project
from waiting import wait_until

from .service import SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

# Process 1 of new namespaces, any user, a root that nobody may write: all that an engine does.
RUN = """
ip link set lo up
mount --rbind "$0" "$0"
mount -o remount,bind,ro "$0"
mount -t tmpfs tmp "$0/tmp"
mount -t proc proc "$0/proc"
exec chroot --userspec=23456:23456 "$0" "$@"
"""
INSIDE = 'cd "$0" && exec "$@"'
CONFIGURATION = "workers: [{threads: 1}]\ndispatchers: [{}]\n"
AWAY = "DATABASE_URL=postgresql://127.0.0.1:1/nowhere"


class Engine:
    """A buildah with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self._store = ("--root", str(folder / "store"), "--runroot", str(folder / "run"))

    def __call__(self, *words: str) -> str:
        """Run a command of it; return what it prints."""
        done = subprocess.run(
            ["buildah", *self._store, *words],
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout.strip()

    def build(self, *words: str) -> None:
        """Build an image; limits that only a greater root may raise stay as they are."""
        limits = (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
        for name, number in limits:
            soft, hard = resource.getrlimit(number)
            words = ("--ulimit", f"{name}={soft}:{hard}", *words)
        certificates = "/etc/ssl/certs:/etc/ssl/certs:ro"
        self("build", "-q", "--format", "docker", "--volume", certificates, *words)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    missing = [each for each in ("buildah", "mmdebstrap", "unshare") if not shutil.which(each)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root, and {', '.join(missing) or 'nothing more'}")
    made = Engine(tmp_path_factory.mktemp("images"))
    yield made
    made("rm", "--all")
    made("rmi", "--all", "--force")


@pytest.fixture(scope="module")
def base(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base image of Debian's packages, into whose Python pip refuses to install."""
    tar = tmp_path_factory.mktemp("base") / "base.tar"
    packages = "--include=python3,python3-venv"
    made = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", packages, "trixie", str(tar)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    scratch = engine("from", "scratch")
    engine("add", "-q", scratch, str(tar), "/")
    engine("commit", "-q", "--format", "docker", scratch, "base")
    return "localhost/base"


@pytest.fixture(scope="module")
def image(engine: Engine, base: str) -> str:
    """The image of our recipe."""
    recipe = SOURCE / "packaging/Dockerfile"
    ignored = ("--ignorefile", f"{recipe}.dockerignore", "--file", str(recipe))
    engine.build("--build-arg", f"BASE={base}", *ignored, "--tag", "jobsd", str(SOURCE))
    return "localhost/jobsd"


@pytest.fixture(scope="module")
def project_image(
    engine: Engine, base: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The image of a project's generated Dockerfile, and the folder that it was made from."""
    folder = tmp_path_factory.mktemp("project") / "shop"
    write_project(folder)
    (folder / "config/queue.yml").write_text(CONFIGURATION, encoding="utf-8")
    recipe = folder / "Dockerfile"
    recipe.write_text(_generated(folder, "dockerfile"), encoding="utf-8")
    # The release that no index has.
    build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", f"{folder}/wheels")
    subprocess.run([sys.executable, *build, str(SOURCE)], check=True)
    engine.build("--build-arg", f"BASE={base}", "--tag", "shop", str(folder))
    return "localhost/shop", folder


def _generated(folder: Path, *what: str) -> str:
    words = (str(folder / "bin/jobs"), "generate", *what)
    environ = {**os.environ, "VIRTUAL_ENV": sys.prefix}
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, check=True)
    return done.stdout.decode()


@pytest.fixture
def settings(engine: Engine, image: str) -> dict[str, Any]:
    """What the image says of itself."""
    found: dict[str, Any] = json.loads(engine("inspect", "--type", "image", image))
    inside: dict[str, Any] = found["Docker"]["config"]
    return inside


@pytest.fixture
def root(engine: Engine, image: str) -> Iterator[Path]:
    """The files of a new container."""
    container = engine("from", image)
    yield Path(engine("mount", container))
    engine("umount", container)
    engine("rm", container)


def test_the_image_declares_its_user_environment_and_health_check(
    settings: dict[str, Any], root: Path
) -> None:
    assert settings["User"] == "10001:10001"
    assert {"JOBSD_EMBEDDED=0", "JOBSD_ENV=production"} <= set(settings["Env"])
    assert settings["Healthcheck"]["Test"][0] == "CMD"
    assert (root / "app").stat().st_mode & 0o005 == 0o005


def test_without_configuration_it_refuses_to_start(
    settings: dict[str, Any], root: Path
) -> None:
    done = subprocess.run(
        _words(settings, root), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 78
    assert "config/queue.yml does not exist" in done.stderr


def test_it_is_process_1_of_any_user_with_a_root_that_is_read_only(
    settings: dict[str, Any], root: Path, tmp_path: Path
) -> None:
    (root / "app/config").mkdir()
    (root / "app/config/queue.yml").write_text(CONFIGURATION, encoding="utf-8")
    log = tmp_path / "log"
    with (
        log.open("w") as reported,
        subprocess.Popen(_words(settings, root), stdout=reported, stderr=reported) as process,
    ):
        try:
            first = wait_until(lambda: _child(process.pid), what="process 1 of the container")
            wait_until(
                lambda: _healthy(settings, first), 60.0, "the image's own check of health"
            )
            status = _proc(first, "status").splitlines()
            (users,) = [line.split()[1:] for line in status if line.startswith("Uid:")]
            os.kill(first, 15)

            assert process.wait(60) == 0, log.read_text()
            assert set(users) == {"23456"}
        finally:
            process.kill()


def test_each_generated_command_starts_in_the_generated_image(
    engine: Engine, project_image: tuple[str, Path]
) -> None:
    image, folder = project_image
    found: dict[str, Any] = json.loads(engine("inspect", "--type", "image", image))
    settings: dict[str, Any] = found["Docker"]["config"]
    container = engine("from", image)
    root = Path(engine("mount", container))

    statuses = {
        command: subprocess.run(
            _words(settings, root, shlex.split(command)),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        ).returncode
        for command in (*_commands(folder), "bin/jobs version", "jobsd version")
    }

    # The database can't be reached. `start` is told to end at once.
    ends = {"start": 0, "migrate": 4, "status": 4, "version": 0}
    expected = {
        command: next(status for word, status in ends.items() if word in command)
        for command in statuses
    }
    assert statuses == expected


def _commands(folder: Path) -> set[str]:
    """Return the commands of all generated files, as each platform passes them on."""
    kamal = yaml.safe_load(_generated(folder, "kamal"))["servers"]["job"]
    dokku = json.loads(_generated(folder, "dokku"))
    services = yaml.safe_load(_generated(folder, "compose"))["services"].values()
    manifests = yaml.safe_load_all(_generated(folder, "kubernetes"))
    pods = [each["spec"]["template"]["spec"]["containers"][0] for each in manifests]
    procfile = _generated(folder, "procfile").splitlines()
    found = {
        *(line.split(": ", 1)[1] for line in procfile),
        *(kamal["cmd"], kamal["options"]["health-cmd"]),
        dokku["scripts"]["dokku"]["predeploy"],
        shlex.join(dokku["healthchecks"]["jobs"][0]["command"]),
        *(shlex.join(each["command"]) for each in services),
        *(shlex.join(each["args"]) for each in pods),
    }
    stopped = "timeout --preserve-status 20"
    return {f"{stopped} {each}" if each.endswith("start") else each for each in found}


def _words(settings: dict[str, Any], root: Path, command: list[str] | None = None) -> list[str]:
    """Return the command that runs a container as an engine would: without a network."""
    spaces = ("--mount", "--pid", "--net", "--fork", "--kill-child=TERM")
    environ = ("/usr/bin/env", "-i", *settings["Env"], AWAY)
    program = ("sh", "-c", INSIDE, settings["WorkingDir"])
    return [
        *(*ENDS_WITH_US, "unshare", *spaces, "sh", "-euc", RUN, str(root)),
        *(*environ, *program, *(settings["Cmd"] if command is None else command)),
    ]


def _healthy(settings: dict[str, Any], pid: int) -> bool:
    """Return whether the image's HEALTHCHECK succeeds within the container of a process."""
    _, _, *words = settings["Healthcheck"]["Test"]
    enter = ("nsenter", "--target", str(pid), "--net", "env", *settings["Env"])
    asked = subprocess.run([*enter, sys.executable, *words], capture_output=True, check=False)
    return asked.returncode == 0


def _child(pid: int) -> int:
    children = _proc(pid, f"task/{pid}/children").split()
    return int(children[0]) if children else 0


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")
