"""What a shell is offered at a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.shell_completion import CompletionItem, ShellComplete

from jobsd.daemon.cli import completion
from jobsd.daemon.cli.cli import commands
from waiting import wait_until

if TYPE_CHECKING:
    from system.commands import Commands

SHELL = ShellComplete(commands, {}, "jobs", "_JOBS_COMPLETE")


def _offered(words: str, begun: str = "") -> list[str]:
    return [item.value for item in SHELL.get_completions(words.split(), begun)]


def test_only_names_with_the_beginning_at_the_prompt_are_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(_: str) -> list[str]:
        return ["mail", "bulk", "mailing"]

    monkeypatch.setattr(completion, "_of_database", read)

    offered = [item.value for item in completion.names("queue", "mail")]

    assert offered == ["mail", "mailing"]


def test_the_last_of_several_states_is_offered_behind_the_others() -> None:
    assert _offered("list --state", "failed,re") == ["failed,ready"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("enqueue", "job"),
        ("enqueue --queue", "queue"),
        ("perform", "job"),
        ("perform --task", "task"),
        ("list --class", "class"),
        ("list --queue", "queue"),
        ("list --tag", "tag"),
        ("show", "id"),
        ("retry", "id"),
        ("retry --class", "failed"),
        ("discard --class", "class"),
        ("failures retry", "failed"),
        ("failures discard", "failed"),
        ("queues pause", "queue"),
        ("recurring show", "task"),
        ("recurring add nightly --class", "job"),
        ("recurring add nightly --queue", "queue"),
        ("recurring add nightly --time-zone", "zone"),
        ("recurring explain @daily --time-zone", "zone"),
        ("heartbeat recent --host", "host"),
        ("heartbeat by-host", "host"),
        ("logs --class", "class"),
        ("logs --job", "id"),
        ("clear-finished --class", "class"),
        ("start --queues", "queue"),
    ],
)
def test_everything_that_has_a_name_is_offered(
    words: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(asked: str, _: str) -> list[CompletionItem]:
        return [CompletionItem(f"a {asked}")]

    monkeypatch.setattr(completion, "names", names)

    assert _offered(words) == [f"a {kind}"]


@pytest.mark.parametrize(
    ("words", "begun", "offered"),
    [
        ("list --columns", "id,st", ["id,state"]),
        ("ps --columns", "ho", ["hostname"]),
        ("audit --columns", "act", ["acted_at", "actor", "act"]),
        ("config show --columns", "va", ["value"]),
        ("heartbeat gaps --columns", "mi", ["missed"]),
        ("start --only", "worker,sch", ["worker,scheduler"]),
        ("start --log-level", "w", ["warning"]),
        ("start --log-format", "", ["json", "console"]),
        ("list --output", "t", ["tsv"]),
        ("recurring explain @daily --time-zone", "Europe/Madr", ["Europe/Madrid"]),
    ],
)
def test_what_is_known_without_a_project_is_offered(
    words: str, begun: str, offered: list[str]
) -> None:
    # A busy machine takes longer than the names may.
    wait_until(lambda: _offered(words, begun) == offered, 60)


def test_jobs_classes_hosts_and_tags_of_the_project_are_offered(run: Commands) -> None:
    run("perform", "HeartbeatJob", "--quiet")

    def completed(words: str) -> list[str]:
        asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        done = run.project.run(**asked, _JOBSD_COMPLETE="bash_complete")
        assert done.stderr == ""
        return [line.partition(",")[2] for line in done.stdout.split()]

    wait_until(lambda: completed("jobs enqueue Heart") == ["HeartbeatJob"], 60)
    wait_until(lambda: completed("jobs perform shop_jobs.wel") == ["shop_jobs.welcome"], 60)
    wait_until(lambda: len(completed("jobs heartbeat recent --host ")) == 1, 60)
    for words in ("jobs list --tag ", "jobs retry --class "):
        assert completed(words) == []
