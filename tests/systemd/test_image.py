"""The recipe of the container image: whole, and built where there is an engine."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from .service import SOURCE

RECIPE = SOURCE / "packaging/Dockerfile"


def test_the_recipe_copies_every_room() -> None:
    copied = set(re.findall(r"^COPY (\w+) \1$", RECIPE.read_text(), re.MULTILINE))

    rooms = {link.name for link in (SOURCE / "src/jobsd").iterdir() if link.is_symlink()}
    assert len(rooms) == 5
    assert copied == rooms | {"src"}


def test_what_is_copied_is_not_ignored() -> None:
    ignored = RECIPE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    words = re.findall(r"^COPY (?!--)(.+) \S+$", RECIPE.read_text(), re.MULTILINE)

    for name in " ".join(words).split():
        assert f"!{name}" in ignored
        assert (SOURCE / name).exists()


@pytest.mark.long
def test_the_image_is_built_and_runs() -> None:
    if not shutil.which("docker") or _docker("info").returncode:
        pytest.skip("no container engine runs here")

    built = _docker("build", "--quiet", "--file", str(RECIPE), str(SOURCE))

    assert built.returncode == 0, built.stderr
    image = built.stdout.strip()
    assert _docker("run", "--rm", image, "version").stdout.startswith("jobsd ")
    assert _docker("run", "--rm", "--entrypoint", "id", image, "-un").stdout == "jobsd\n"
    _docker("image", "rm", image)


def _docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
