"""The search of `list`, in the language of the dashboard: as a shell cuts and completes it."""

import re
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from jobsd.states import STATES

from . import completion

_KEYS = ("class:", "queue:", "state:", "error:", "key:", "host:", "before:", "after:", "args.")
_WITH_SPACES = re.compile(r'([a-z]+(?:\.[^\s:"]+)?:)?([^"]*\s[^"]*)')


class _Search(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.5
    """A part of a search; a shell offers the names, and behind some of them what there is."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the parts that begin so."""
        del ctx, param
        key, colon, begun = incomplete.partition(":")
        if not colon:
            found = [each for each in _KEYS if each.startswith(incomplete)]
        elif key == "state":
            found = [f"state:{each}" for each in STATES if each.startswith(begun)]
        elif key in {"class", "queue"}:
            found = [f"{key}:{each.value}" for each in completion.names(key, begun)]
        else:
            found = []
        return [CompletionItem(each) for each in found]


SEARCH = _Search()


def search_text(parts: Sequence[str]) -> str:
    """Return one search of words that a shell has cut: what it took for one word stays one."""
    return parts[0] if len(parts) == 1 else " ".join(map(_quoted, parts))


def _quoted(part: str) -> str:
    found = _WITH_SPACES.fullmatch(part)
    return f'{found[1] or ""}"{found[2]}"' if found else part
