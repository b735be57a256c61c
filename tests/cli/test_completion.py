"""What a shell is offered at a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.shell_completion import ShellComplete

from jobsd.daemon.cli import completion
from jobsd.daemon.cli.cli import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


def test_only_names_with_the_beginning_at_the_prompt_are_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(*_: object) -> Iterator[str]:
        return iter(["mail", "bulk", "mailing"])

    monkeypatch.setattr(completion, "_read", read)

    offered = [item.value for item in completion.names("queue", "mail")]

    assert offered == ["mail", "mailing"]


def test_the_last_of_several_states_is_offered_behind_the_others() -> None:
    shell = ShellComplete(commands, {}, "jobs", "_JOBS_COMPLETE")

    offered = shell.get_completions(["list", "--state"], "failed,re")

    assert [item.value for item in offered] == ["failed,ready"]
