"""The command line itself: help, usage, errors and how each of them ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import psycopg
import pytest

import refused
from harness.tree import COMMAND
from jobsd.daemon import program
from jobsd.daemon.cli import cli
from jobsd.daemon.tree import exits
from jobsd.daemon.tree.pidfile import PidfileHeld
from jobsd.errors import (
    ArgumentError,
    ConfigurationError,
    DatabaseUnreachableError,
    EmbeddedServerError,
    EnqueueError,
    Fault,
    NotFoundError,
    RefusedError,
    SchemaError,
    UnknownJobError,
)
from waiting import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from system.commands import Commands

HELP_S = 0.2


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli.commands)
    for name in cli.commands.list_commands(context):
        command = cli.commands.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {verb}", each) for verb, each in command.commands.items())


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.run(["help", "commands"])

    reported = capsys.readouterr().out
    assert status == 0
    assert [name for name, _ in _commands() if f"  {name.split()[0]} " not in reported] == []


def test_the_help_of_a_group_shows_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    groups = [name for name, each in _commands() if isinstance(each, click.Group)]

    reported = {name: (cli.run([name, "-h"]), capsys.readouterr().out)[1] for name in groups}

    assert "failures" in reported
    assert [
        name for name, text in reported.items() if "..." in text.partition("Commands:")[2]
    ] == []


@pytest.mark.parametrize(
    ("words", "as_typed"),
    [
        (["help"], ["-h"]),
        (["help", "list"], ["list", "-h"]),
        (["help", "db", "sql"], ["db", "sql", "-h"]),
    ],
)
def test_help_may_be_asked_for_by_its_name(
    words: list[str], as_typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words) == 0
    by_name = capsys.readouterr().out
    assert cli.run(as_typed) == 0

    assert by_name == capsys.readouterr().out


@pytest.mark.parametrize("words", [["version"], ["db", "sql"], ["-h"]], ids=" ".join)
def test_a_full_disk_is_one_sentence(words: list[str]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        done = subprocess.run(
            [*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    reported = "error: can't write the output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, reported)


@pytest.mark.parametrize(
    "arguments", [["-h"], ["--help"], ["status", "-h"], ["db", "sql", "-h"]]
)
def test_help_is_short_for_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 0
    assert "Usage:" in capsys.readouterr().out


@pytest.mark.parametrize("path", [name for name, _ in _commands()])
def test_a_commands_help_has_examples_of_it(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*path.split(), "-h"]) == 0

    reported = capsys.readouterr().out
    first, _, rest = reported.partition("\n\nExamples:\n")
    assert first.startswith("Usage: ")
    assert "\n" not in first or len(first.splitlines()) == 2
    assert f"{program.program()} {path}" in rest.partition("\n\n")[0]


def test_every_command_has_json_but_those_replaced_by_another_program() -> None:
    verbs = {name: each for name, each in _commands() if not isinstance(each, click.Group)}

    assert {
        name
        for name, each in verbs.items()
        if not any("--json" in option.opts for option in each.params)
    } == {"start", "with", "web", "perform", "db psql", "console", "mcp"}


def test_help_answers_at_once() -> None:
    spent: list[float] = []
    for _ in range(5):
        child = subprocess.Popen([*COMMAND, "--help"], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        spent.append(used.ru_utime + used.ru_stime)
        assert child.returncode == 0

    # Of the processor, and the best of some: other tests share the machine.
    assert min(spent) < HELP_S, spent


def test_an_unknown_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = cli.run(["statsu"])

    reported = capsys.readouterr()
    assert (status, reported.out) == (2, "")
    assert reported.err.splitlines() == [
        "error: there is no command 'statsu'; did you mean 'status'?",
        f"hint: {program.program()} -h",
    ]


def test_a_command_of_a_group_that_is_misspelt_or_missing_is_answered_in_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    statuses = cli.run(["queues", "lsit"]), cli.run(["generate"])

    misspelt, _, missing, _ = capsys.readouterr().err.splitlines()
    assert statuses == (2, 2)
    assert misspelt == "error: there is no command 'lsit'; did you mean 'list'?"
    assert missing.startswith(
        "error: the command is missing; choose one of completions, compose,"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        *(["list", *arguments] for arguments in refused.FILTERS),
        ["list", "--limit", "10001"],
        ["show", "seven"],
        ["status", "--nope"],
        ["enqueue"],
        ["db", "nope"],
        ["heartbeat", "gaps", "--every", "0"],
        ["recurring", "explain", "every day", "--from", "soon"],
        ["--nope"],
    ],
)
def test_wrong_usage_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.run(arguments)

    reported = capsys.readouterr()
    assert (status, reported.out) == (2, "")
    assert reported.err.startswith("error: ")
    assert reported.err.splitlines()[-1].startswith("hint: ")


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (click.Abort(), 130),
        (KeyboardInterrupt(), 130),
        (SystemExit(3), 3),
        (BrokenPipeError(), 0),
        (ConfigurationError((Fault("threads must be more"),)), 78),
        (SchemaError("the tables are behind"), 78),
        (DatabaseUnreachableError("no answer"), 4),
        (psycopg.OperationalError("gone"), 4),
        (psycopg.InterfaceError("gone"), 4),
        (psycopg.ProgrammingError("no URL"), 78),
        (psycopg.errors.UndefinedTable("no such table"), 78),
        (psycopg.errors.InsufficientPrivilege("no"), 1),
        (EmbeddedServerError("it ended", log=("a", "b", "c", "d")), 4),
        (NotFoundError("there is no job 1"), 5),
        (UnknownJobError("nope"), 5),
        (RefusedError("say --yes"), 6),
        (ArgumentError("no"), 1),
        (ZeroDivisionError("division by zero"), 70),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_each_error_has_its_exit_status_and_three_lines_at_most(
    fault: BaseException, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exits.report(fault) == status

    reported = capsys.readouterr()
    assert reported.out == ""
    assert len(reported.err.splitlines()) <= 3


def test_a_pidfile_that_is_held_ends_with_75(tmp_path: Path) -> None:
    assert exits.report(PidfileHeld(tmp_path / "pid", 42)) == 75


def test_a_refused_enqueue_exits_with_the_status_of_its_database_error() -> None:
    fault = EnqueueError("not enqueued")
    fault.__cause__ = psycopg.errors.UndefinedTable("no such table")

    assert exits.report(fault) == 78


def test_passwords_are_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    exits.report(psycopg.OperationalError("no route to postgresql://me:secret@host/db"))

    assert "secret" not in capsys.readouterr().err


def test_there_is_no_traceback_without_debug(run: Commands) -> None:
    plain, debug = run("show", "1"), run("show", "1", "--debug")

    assert plain.stderr == "error: there is no job 1\n"
    assert debug.stderr.startswith("Traceback (most recent call last):")
    assert (plain.returncode, debug.returncode) == (5, 5)


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["queues", "--json"], ["enqueue", "DailyCleanupJob"], ["health"], ["list"]],
    ids=lambda arguments: arguments[0],
)
def test_a_refused_connection_ends_with_4(run: Commands, arguments: list[str]) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        url = f"postgresql://me@127.0.0.1:{mute.getsockname()[1]}/db"
        done = run(*arguments, DATABASE_URL=url)

    assert (done.returncode, done.stdout) == (4, "")
    assert 1 <= len(done.stderr.splitlines()) <= 3


def test_a_silent_server_is_given_up_within_4_seconds(run: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=60"
        watch = Stopwatch()
        asking = subprocess.Popen(
            [*COMMAND, "status"],
            cwd=run.project.root,
            env={**run.project.environ, "DATABASE_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        spent_s = watch.until_end(asking)
        out, err = asking.communicate()

    assert (asking.returncode, out) == (4, "")
    assert "no answer within" in err
    assert spent_s < 4


def test_a_reader_of_standard_output_may_stop_reading(run: Commands) -> None:
    piped = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" db sql | head -n 1', "bash", *COMMAND],
        cwd=run.project.root,
        env=run.project.environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (piped.returncode, piped.stderr) == (0, "")
    assert piped.stdout.startswith("CREATE SCHEMA")


def test_long_output_to_a_closed_pipe_ends_with_status_0() -> None:
    runs = ["recurring", "explain", "every minute", "-n", "9999"]
    piped = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" | true', "bash", *COMMAND, *runs],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (piped.returncode, piped.stderr) == (0, "")


def test_the_version_is_printed(run: Commands) -> None:
    assert run("version").stdout.startswith("jobsd ")
    assert run("--version").stdout == run("-V").stdout == run("version").stdout
    assert set(run.json("version")) == {"version", "python"}


@pytest.mark.parametrize(
    ("called", "environ", "expected"),
    [
        ("/usr/bin/jobsd", {}, "jobsd"),
        ("/usr/bin/jobsd", {"JOBSD_HOME": "/srv/shop"}, "jobsd"),
        ("/x/daemon/__main__.py", {"JOBSD_HOME": "/srv/shop"}, "bin/jobs"),
        ("/x/daemon/__main__.py", {}, "python -m jobsd.daemon"),
    ],
)
def test_hints_name_the_program_as_it_was_typed(
    called: str, environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.delenv("JOBSD_HOME", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert program.program() == expected
