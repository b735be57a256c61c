"""How faults are reported: all at once, at their places, as an operator reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from configuration.project import SEED, Project
from jobsd.configuration.faults import Faults, render, report
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import examine
from jobsd.configuration.source import Source, SourceSpan
from jobsd.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parent / "golden"


CODE_ALONE = "recurring tasks come from the code alone"


def test_all_faults_of_everything_are_reported_at_once(project: Project) -> None:
    project.write("config/queue.yml", (GOLDEN / "queue.yml").read_text())
    project.write("config/recurring.yml", (GOLDEN / "recurring.yml").read_text())
    project.environ = {"JOB_CONCURRENCY": "many", "JOBSD_LOG_LEVEL": "loud"}

    reported = report(project.faults(Flags(only="workers")))

    assert reported + "\n" == (GOLDEN / "faults.txt").read_text()


def test_a_fault_is_shown_with_its_line_and_a_caret(project: Project) -> None:
    project.queue("workers:\n  - threads: 0\n")

    assert project.shown() == (
        "error: workers[0].threads must be a whole number from 1 to 256, not 0\n"
        "  at config/queue.yml:2:14\n"
        "     2 |   - threads: 0\n"
        "       |              ^"
    )


def test_warnings_come_before_the_faults(project: Project) -> None:
    project.queue("workers: 1")
    examined = examine(project.root, {}, Flags())

    reported = report(examined.faults, examined.options.warnings)

    assert reported.splitlines()[:3] == [
        f"warning: config/recurring.yml does not exist: {CODE_ALONE}",
        "",
        "error: workers must be a list, not 1",
    ]


@pytest.mark.parametrize(
    ("line", "caret"),
    [
        ("time_zone: Nowhere", "           ^^^^^^^"),
        ("time_zone: 東京", "           ^^^^"),
        ("{time_zone: e\u0301x, import: [1]}", None),
        ("time_zone:\tNowhere", "           ^^^^^^^"),
        ("time_zone: &a Nowhere", "              ^^^^^^^"),
        ("time_zone: !!str Nowhere", "                 ^^^^^^^"),
        ('time_zone: "No\\\n  where"', "           ^^^^"),
    ],
)
def test_the_caret_is_below_the_faulty_text(
    project: Project, line: str, caret: str | None
) -> None:
    project.queue(line)

    shown = project.faults()[0].excerpt.splitlines()[1]

    assert shown == f"       | {caret or '            ^^'}"


def test_of_a_long_line_a_part_is_shown(project: Project) -> None:
    project.queue("{time_zone: UTC, " + " " * 500_000 + "workers: 1" + " " * 500_000 + "}")

    fault = project.fault()

    assert fault.source == "config/queue.yml:1:500027"
    assert fault.excerpt == "     1 | " + " " * 51 + "workers: 1\n       | " + " " * 60 + "^"


def test_nothing_that_a_terminal_obeys_is_shown() -> None:
    fault = Fault("a\x1b[31m\nb", "f\r:1:1", "     1 | x\n       | ^", "\udcff")

    assert render(fault) == (
        "error: a\\x1b[31m\\nb\n  at f\\r:1:1\n     1 | x\n       | ^\nhint: \\udcff"
    )


def test_faults_after_two_hundred_are_only_counted(project: Project) -> None:
    project.queue("import: [" + "1a, " * 1000 + "]")

    faults = project.faults()

    assert len(faults) == 201
    assert faults[-1].message == "there are more faults than these 200"


def _missing_permission(path: Path) -> None:
    path.symlink_to(path)


def _bytes(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


@pytest.mark.parametrize(
    ("make", "message", "source"),
    [
        (Path.mkdir, "config/queue.yml is not a regular file", "config/queue.yml"),
        (os.mkfifo, "config/queue.yml is not a regular file", "config/queue.yml"),
        (
            _missing_permission,
            "config/queue.yml can't be read: Too many levels of symbolic links",
            "config/queue.yml",
        ),
        (_bytes(b"#" * 1048577), "config/queue.yml is bigger than 1 MiB", "config/queue.yml"),
        (_bytes(b"a: b\n\xc3\xa9\xff: x\n"), "this is not UTF-8", "config/queue.yml:2:2"),
        (_bytes(b"\xff\xfea\0"), "this is not UTF-8", "config/queue.yml:1:1"),
        (_bytes(b"\xef\xbb\xbfa: \xff"), "this is not UTF-8", "config/queue.yml:1:4"),
        (_bytes(b"a: \0b"), "this character can't stand in YAML", "config/queue.yml:1:4"),
    ],
)
def test_a_file_that_can_not_be_read_is_a_fault(
    project: Project, make: Callable[[Path], None], message: str, source: str
) -> None:
    (project.root / "config").mkdir()
    make(project.root / "config/queue.yml")

    fault = project.fault()

    assert (fault.message, fault.source) == (message, source)


def test_a_path_with_a_nul_is_a_fault(project: Project) -> None:
    reported = project.fault(Flags(config="a\0b")).message

    # Python words it in another way from version to version.
    assert "can't be read: " in reported
    assert "embedded null" in reported


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_and_a_byte_order_mark_are_good(project: Project, end: str) -> None:
    project.queue("")
    text = SEED.replace("threads: 3", "threads: 0").replace("\n", end)
    (project.root / "config/queue.yml").write_bytes(b"\xef\xbb\xbf" + text.encode())

    assert project.fault().source == "config/queue.yml:7:16"


def test_a_fault_that_is_found_again_is_no_further_one() -> None:
    source = Source("queue.yml", "x" * 300)
    faults = Faults()
    for at in range(200):
        faults.add(SourceSpan(source, at, at + 1), "is wrong")

    faults.add(SourceSpan(source, 7, 8), "is wrong")
    full, found = faults.full, faults.all()
    faults.add(SourceSpan(source, 250, 251), "is wrong")

    assert (full, len(found)) == (False, 200)
    assert faults.full
    assert faults.all()[-1].message == "there are more faults than these 200"
