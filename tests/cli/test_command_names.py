"""A reader of `-h` meets few commands; every name that was ever promised works."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest

from jobsd.daemon.cli import cli, command_list
from jobsd.daemon.cli.cli import commands

if TYPE_CHECKING:
    from system.commands import Commands

SHOWN_MAX = 22
PROMISED = """
audit
bench
cancel
check
clear-finished
config show
console
db migrate
db psql
db sql
db status
db stop
db url
discard
doctor
enqueue
failures
generate completions
generate compose
generate crontab
generate dockerfile
generate dokku
generate grafana
generate kamal
generate kubernetes
generate man
generate procfile
generate prometheus
generate systemd
health
heartbeat by-host
heartbeat gaps
heartbeat latest
heartbeat recent
heartbeat verify
init
list
logs
mcp
metrics
perform
plan
ps
queues
queues clear
queues pause
queues resume
recurring add
recurring disable
recurring enable
recurring explain
recurring history
recurring list
recurring next
recurring remove
recurring run
recurring show
reload
restart
retry
show
start
status
stop
version
web
with
"""
"""The commands of the public surface."""
OPTIONS = {
    "start": "-c --config -r --recurring --skip-recurring --only --queues --pidfile"
    " --metrics-bind --log-format --log-level --database-url --import --until-empty --horizon"
    " --reload",
    "list": "--state --queue --class --limit --since --error --tag --header --wide --columns"
    " --color --json",
    "retry": "--all --yes --dry-run --state --queue --class --since --error",
    "enqueue": "--queue --priority --in --at --json",
    "cancel": "--all --force",
    "clear-finished": "--older-than --batch --sleep --class",
    "status": "--watch",
    "queues pause": "--reason",
    "queues clear": "--yes",
    "recurring add": "--class --schedule",
    "recurring explain": "--time-zone -n --from",
    "recurring run": "--here",
    "heartbeat recent": "-n --since",
    "heartbeat gaps": "--every --since",
    "heartbeat verify": "--within",
    "web": "--bind",
    "mcp": "--allow-acts",
    "plan": "--jobs-per-day --keep",
}


def _found(path: str) -> click.Command:
    found: click.Command = commands
    context = click.Context(commands, **commands.context_settings)
    for word in path.split():
        assert isinstance(found, click.Group)
        inner = found.get_command(context, word)
        assert inner is not None, path
        found = inner
    return found


def test_the_first_help_shows_few_commands_in_groups(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["-h"]) == 0

    printed = capsys.readouterr().out.splitlines()
    shown = [name for group in command_list.SHOWN.values() for name in group]
    assert len(shown) <= SHOWN_MAX
    for title, group in command_list.SHOWN.items():
        at = printed.index(f"{title}:")
        assert [line.split()[0] for line in printed[at + 1 : at + 1 + len(group)]] == [*group]
    begun = {line.split()[0] for line in printed if line.startswith("  ")}
    assert begun & set(command_list.OTHERS) == set()


@pytest.mark.parametrize("path", PROMISED.split("\n")[1:-1])
def test_a_promised_command_works(path: str) -> None:
    options = {name for each in _found(path).params for name in each.opts}

    assert set(OPTIONS.get(path, "").split()) - options == set()


@pytest.mark.parametrize(
    ("words", "as_before"),
    [
        (["start", "--"], ["with", "--"]),
        (["start", "--", "nosuch-program"], ["with", "--", "nosuch-program"]),
        (["--queues", "mail", "--", "nosuch-program"], ["with", "--", "nosuch-program"]),
    ],
)
def test_a_start_with_a_command_behind_it_is_with(
    words: list[str], as_before: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words) == 2
    now = capsys.readouterr().err
    assert cli.run(as_before) == 2

    assert now == capsys.readouterr().err


@pytest.mark.parametrize("words", command_list.BY_FLAG)
def test_a_flag_calls_the_command_that_it_stands_for(
    words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    name, flag = words
    other = command_list.BY_FLAG[words]
    shown = [each for group in command_list.SHOWN.values() for each in group]

    assert cli.run([name, flag, "-h"]) == 0
    now = capsys.readouterr().out
    assert cli.run([other, "-h"]) == 0

    assert now == capsys.readouterr().out
    assert name in shown
    assert flag in {each for option in _found(name).params for each in option.opts}


def test_a_flag_keeps_the_other_options(run: Commands) -> None:
    now = run("status", "--processes", "--header", "--columns", "id,kind")

    assert (now.returncode, now.stdout) == (0, "id\tkind\n")


def test_a_shell_offers_a_command_that_the_help_leaves_out_where_no_other_fits() -> None:
    context = click.Context(commands)
    offered = {
        begun: [item.value for item in commands.shell_complete(context, begun)]
        for begun in ("", "cl", "co")
    }

    assert offered[""] == [name for group in command_list.SHOWN.values() for name in group]
    assert offered["cl"] == ["clear", "clear-finished"]
    assert offered["co"] == ["config", "console"]


def test_clear_says_what_it_clears(run: Commands) -> None:
    refused = run("clear", "--dry-run")
    now = run("clear", "--finished", "--dry-run", "--json")
    before = run("clear-finished", "--dry-run", "--json")

    assert refused.returncode == 2
    assert "--finished" in refused.stderr
    assert (now.returncode, now.stdout) == (before.returncode, before.stdout)


def test_a_task_is_performed_by_its_key(daily: Commands) -> None:
    by_key = daily("perform", "--task", "daily", "--quiet")
    as_before = daily("recurring", "run", "daily", "--here", "--quiet")

    assert (by_key.returncode, by_key.stdout) == (as_before.returncode, as_before.stdout)
    assert daily("perform", "--task", "nosuch").returncode == 5
    assert daily("perform", "Daily", "--task", "daily").returncode == 2
    assert daily("perform").returncode == 2


def test_the_heartbeats_of_a_host_are_recent_ones(run: Commands) -> None:
    run("perform", "HeartbeatJob", "--quiet")
    here = run("heartbeat", "recent", "--json")
    host = run("heartbeat", "-o", "name", "--columns", "hostname").stdout.split()[0]

    assert host
    assert run("heartbeat", "recent", "--host", host, "--json").stdout == here.stdout
    assert run("heartbeat", "by-host", host, "--json").stdout == here.stdout
    assert run("heartbeat", "recent", "--host", "nowhere", "--json").stdout == "[]\n"


def test_the_health_stands_among_the_heartbeats_too(run: Commands) -> None:
    now, before = run("heartbeat", "health"), run("health")

    assert (now.returncode, now.stdout) == (before.returncode, before.stdout)


def test_the_configuration_is_checked_among_the_settings_too(run: Commands) -> None:
    assert run("config", "check", "--json").stdout == run("check", "--json").stdout
    assert run("config", "--json").stdout == run("config", "show", "--json").stdout


def test_a_task_is_shown_with_as_many_runs_as_asked_for(daily: Commands) -> None:
    shown = json.loads(daily("recurring", "show", "daily", "-n", "3", "--json").stdout)
    following = json.loads(daily("recurring", "next", "daily", "-n", "3", "--json").stdout)

    assert len(following) == 3
    assert shown["next_runs"] == following
