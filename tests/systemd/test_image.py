"""The recipe of the container image: whole. `test_image_runs` builds it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from layout.house import SHIPPED

from .service import SOURCE

RECIPE = SOURCE / "packaging/Dockerfile"


def test_the_recipe_copies_every_room() -> None:
    copied = set(re.findall(r"^COPY (\S+) \1$", RECIPE.read_text(), re.MULTILINE))

    rooms = {link.name for link in (SOURCE / "src/jobsd").iterdir() if link.is_symlink()}
    assert len(rooms) == 6
    scripts = tomllib.loads((SOURCE / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert copied == rooms | {"src", *SHIPPED.values(), *scripts["script-files"]}


def test_copied_files_are_not_ignored() -> None:
    ignored = RECIPE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    words = re.findall(r"^COPY (?!--)(.+) \S+$", RECIPE.read_text(), re.MULTILINE)

    for name in " ".join(words).split():
        assert f"!{name}" in ignored
        assert (SOURCE / name).exists()


def test_the_image_runs_as_a_number_and_starts_no_server_of_its_own() -> None:
    recipe = RECIPE.read_text()

    assert re.findall(r"^USER (.+)$", recipe, re.MULTILINE)[-1] == "10001:10001"
    assert "--uid 10001" in recipe
    assert "chmod 0755 /app" in recipe
    assert "JOBSD_EMBEDDED=0" in recipe


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1"])  # noqa: S104 - only asked
def test_health_is_asked_where_the_tree_listens(host: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Alive) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bind = f"{host}:{server.server_port}"

        asked = [_ask_health(bind), _ask_health("off")]
        server.shutdown()

    assert asked == [True, False]


def _ask_health(bind: str) -> bool:
    """Return whether what the image asks says that a tree which listens there is healthy."""
    recipe = re.sub(r"\\\n\s*", "", RECIPE.read_text())
    found = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", recipe, re.MULTILINE)
    assert found is not None
    _, *words = json.loads(found[1])
    environ = {**os.environ, "JOBSD_METRICS_BIND": bind}
    done = subprocess.run(
        [sys.executable, *words], env=environ, capture_output=True, check=False
    )
    return done.returncode == 0


class _Alive(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""
