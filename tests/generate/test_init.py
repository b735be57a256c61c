"""`init` in a folder that has something in it already."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.cli import cli
from jobsd.daemon.generate.found_project import find_project
from jobsd.daemon.generate.new_project import write_project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
PYPROJECT = '[project]\nname = "my-shop"\ndependencies = [{}]\n'


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


FOLDERS: dict[str, tuple[dict[str, str], str, str]] = {
    "nothing": ({}, "", "sample_jobs.py"),
    "modules": ({"app.py": "print()"}, "", "sample_jobs.py"),
    "Django": (
        {"manage.py": MANAGE, "shop/__init__.py": "", "shop/settings.py": ""},
        "Django (manage.py) and the package shop",
        "shop/sample_jobs.py",
    ),
    "Flask": ({"app.py": "app = Flask(__name__)"}, "Flask (app.py)", "sample_jobs.py"),
    "Flask in a module": (
        {"shop.py": "app = flask.Flask(__name__)\n", "test_shop.py": "app = FastAPI()"},
        "Flask (shop.py)",
        "sample_jobs.py",
    ),
    "FastAPI in a module": (
        {"requirements.txt": "flask\n", "shop.py": "app = FastAPI(title='shop')"},
        "FastAPI (shop.py)",
        "sample_jobs.py",
    ),
    "Flask in a package": (
        {
            "src/shop/__init__.py": "",
            "src/shop/web.py": "def create_app():\n    return Flask('shop')\n",
        },
        "Flask (src/shop/web.py) and the package shop in src/",
        "src/shop/sample_jobs.py",
    ),
    "FastAPI": (
        {"requirements.txt": "# ours\nFastAPI[standard]>=0.1\n", "shop/__init__.py": ""},
        "FastAPI (requirements.txt) and the package shop",
        "shop/sample_jobs.py",
    ),
    "src": (
        {
            "pyproject.toml": PYPROJECT.format('"flask>=3"'),
            "src/my_shop/__init__.py": "",
            "src/other/__init__.py": "",
        },
        "Flask (pyproject.toml) and the package my_shop in src/",
        "src/my_shop/sample_jobs.py",
    ),
    "package": (
        {"pyproject.toml": PYPROJECT.format(""), "my_shop/__init__.py": "", "tests/x.py": ""},
        "the package my_shop",
        "my_shop/sample_jobs.py",
    ),
    "tests": (
        {"shop/__init__.py": "", "tests/__init__.py": ""},
        "the package shop",
        "shop/sample_jobs.py",
    ),
    "two packages": ({"a/__init__.py": "", "b/__init__.py": ""}, "", "sample_jobs.py"),
    "nonsense": ({"pyproject.toml": "[[[", "manage.py": "\0"}, "", "sample_jobs.py"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_lies_in_a_folder_is_found(kind: str, tmp_path: Path) -> None:
    texts, sentence, sample = FOLDERS[kind]
    _write(tmp_path, texts)

    found = find_project(tmp_path)
    written = write_project(tmp_path, found)

    assert found.sentence() == sentence
    assert list(written) == ["bin/jobs", "config/queue.yml", "config/recurring.yml", sample]


@pytest.mark.parametrize(
    ("kind", "application"),
    [
        ("Flask", "app"),
        ("Flask in a module", "shop"),
        ("Flask in a package", "shop.web"),
        ("FastAPI in a module", ""),
        ("src", ""),
    ],
)
def test_the_script_of_a_flask_project_names_its_application(
    kind: str, application: str, tmp_path: Path
) -> None:
    _write(tmp_path, FOLDERS[kind][0])

    write_project(tmp_path)

    script = (tmp_path / "bin/jobs").read_text(encoding="utf-8")
    queue = (tmp_path / "config/queue.yml").read_text(encoding="utf-8")
    assert (f'FLASK_APP="${{FLASK_APP:-{application}}}"' in script) is bool(application)
    assert ("import: [jobsd.flask.setup, " in queue) is bool(application)


def test_an_application_beside_a_package_in_src_is_found(tmp_path: Path) -> None:
    _write(tmp_path, {"app.py": "app = Flask('shop')", "src/shop/__init__.py": ""})

    assert find_project(tmp_path).application == "app"


def test_an_application_that_flask_would_not_find_is_not_named(tmp_path: Path) -> None:
    _write(tmp_path, {"shop.py": "def build(name):\n    return Flask(name)\n"})

    assert find_project(tmp_path).application == ""


@pytest.mark.parametrize("kind", ["src", "package"])
def test_a_project_with_a_package_is_valid(kind: str, tmp_path: Path) -> None:
    _write(tmp_path, FOLDERS[kind][0])
    write_project(tmp_path)

    checked = subprocess.run(
        [str(tmp_path / "bin/jobs"), "check"],
        cwd="/",
        env={"PATH": os.environ["PATH"], "VIRTUAL_ENV": sys.prefix},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout) == (0, "configuration is valid\n"), checked


def test_the_script_of_a_django_project_names_its_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(tmp_path, FOLDERS["Django"][0])

    assert cli.run(["init", str(tmp_path)]) == 0

    script = (tmp_path / "bin/jobs").read_text(encoding="utf-8")
    assert "DJANGO_SETTINGS_MODULE:-shop.settings" in script
    queue = (tmp_path / "config/queue.yml").read_text(encoding="utf-8")
    assert "import: [jobsd.django.setup, shop.sample_jobs]" in queue
    assert capsys.readouterr().err.splitlines() == [
        "found Django (manage.py) and the package shop",
        'hint: add "jobsd.django" to INSTALLED_APPS',
        f"next: cd {tmp_path}",
        "      python manage.py migrate",
        "      python manage.py jobs",
        """      python manage.py jobs enqueue shop.sample_jobs.welcome '["world"]'""",
    ]


def test_the_next_step_printed_by_init_quotes_any_folder_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["init", str(tmp_path / "my shop")]) == 0
    assert f"next: cd '{tmp_path}/my shop'\n" in capsys.readouterr().err

    assert cli.run(["init", str(tmp_path / "two\nlines")]) == 0
    assert f"next: cd '{tmp_path}/two\\nlines'\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"# jobsd\n/storage/postgres/\n/log/*.log\n"),
        (b"\xff.venv", b"\xff.venv\n# jobsd\n/storage/postgres/\n/log/*.log\n"),
        (b"/log/*.log\r\n", b"/log/*.log\r\n# jobsd\n/storage/postgres/\n"),
        (b"/storage/postgres/\n/log/*.log", b"/storage/postgres/\n/log/*.log"),
    ],
)
def test_what_git_ignores_is_added_to(
    before: bytes | None, after: bytes, tmp_path: Path
) -> None:
    (tmp_path / ".git").mkdir()
    if before is not None:
        (tmp_path / ".gitignore").write_bytes(before)

    first, second = write_project(tmp_path), write_project(tmp_path)

    assert (tmp_path / ".gitignore").read_bytes() == after
    reported = {None: "made", after: "kept"}.get(before, "extended")
    assert (first[".gitignore"], second[".gitignore"]) == (reported, "kept")


def test_a_list_of_git_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").symlink_to("nowhere")

    assert ".gitignore" not in write_project(tmp_path)
    assert not (tmp_path / "nowhere").exists()


def test_new_files_are_as_closed_as_the_umask_demands(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_project(tmp_path)
    finally:
        os.umask(before)

    modes = {
        name: (tmp_path / name).stat().st_mode & 0o777
        for name in ("bin/jobs", "config/queue.yml")
    }
    assert modes == {"bin/jobs": 0o700, "config/queue.yml": 0o600}
