"""The hops that a page of docs/explanation lists, and a record of those that are called.

Run as a program it records those of one page in all processes of a tree, and is the daemon
otherwise. It knows of no other test file, so that it can be run from anywhere.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jobsd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

PAGES = Path(__file__).parents[2] / "docs/explanation"
PACKAGE = f"{jobsd.__path__[0]}/"
_ROW = re.compile(
    r"^\| (\d*)(?: \| )?[^|]*? \| `([\w.]+)` \| `([\w/]+\.py)` \|(?: [^|]* \|)?$",
    re.MULTILINE,
)
_NAMELESS = re.compile(r"\.<locals>.*")


@dataclass(frozen=True, slots=True)
class Function:
    """A function of ours, by its file in the package and its name with its class."""

    file: str
    name: str


@dataclass(frozen=True, slots=True)
class Page:
    """The hops of one page in their order, and the loops that may call them."""

    text: str
    hops: tuple[Function, ...]
    loops: tuple[Function, ...]

    def before(self, number: int) -> set[Function]:
        """Return all that may call the hop of this number."""
        return {*self.loops, *self.hops[: number - 1]}


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a hop, by its caller of ours; or the return of one."""

    event: str
    function: Function
    caller: Function | None

    def is_call_of(self, function: Function) -> bool:
        """Return whether it is no return, and of this function."""
        return self.event == "call" and self.function == function


def read(name: str) -> Page:
    """Return what a page of docs/explanation lists."""
    text = (PAGES / name).read_text(encoding="utf-8")
    rows = [(found[1], Function(found[3], found[2])) for found in _ROW.finditer(text)]
    hops = (function for number, function in rows if number)
    return Page(text, tuple(hops), tuple(function for number, function in rows if not number))


def profile(page: Page, write: Callable[[Call], object]) -> Callable[..., None]:
    """Return a function for `sys.setprofile` that writes down what the page lists."""
    wanted = set(page.hops)

    def note(frame: FrameType, event: str, _: object) -> None:
        if event not in {"call", "return"}:
            return
        function = _function(frame)
        if function in wanted:
            write(Call(event, function, _caller(frame.f_back)))

    return note


def follow(page: Page, calls: Sequence[Call], start: int = 0) -> list[str]:
    """Return what is wrong with the page, by the calls as they were made, from one of them on.

    A hop that waits, or a poll, may have been called before what is followed has begun.
    """
    wrong: list[str] = []
    at = start
    for number, hop in enumerate(page.hops, 1):
        if _is_under_way(hop, calls[:at]):
            continue
        later = (n for n in range(at, len(calls)) if calls[n].is_call_of(hop))
        found = next(later, None)
        if found is None:
            return [*wrong, f"hop {number}, {hop}: not called after hop {number - 1}"]
        caller = calls[found].caller
        if number > 1 and caller not in page.before(number):
            wrong.append(f"hop {number}, {hop}: called by {caller}")
        at = found + 1
    return wrong


def _is_under_way(function: Function, calls: Sequence[Call]) -> bool:
    """Return whether a function was called and has not returned."""
    events = [call.event for call in calls if call.function == function]
    return events.count("call") > events.count("return")


def _function(frame: FrameType) -> Function | None:
    code = frame.f_code
    if not code.co_filename.startswith(PACKAGE):
        return None
    name = _NAMELESS.sub("", code.co_qualname)
    return Function(code.co_filename.removeprefix(PACKAGE), name)


def _caller(frame: FrameType | None) -> Function | None:
    """Return the nearest function of ours that has a name of its own."""
    while frame is not None:
        function = _function(frame)
        if function is not None and not function.name.startswith("<"):
            return function
        frame = frame.f_back
    return None


def load(path: Path) -> list[Call]:
    """Return the calls that a tree has written down so far."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [_call(json.loads(line)) for line in lines]


def _call(line: dict[str, Any]) -> Call:
    caller = line["caller"] and Function(**line["caller"])
    return Call(line["event"], Function(**line["function"]), caller)


def main(name: str, path: str, *arguments: str) -> None:
    """Be the daemon; each process appends the calls to one file, a line each."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(call: Call) -> None:
        os.write(fd, f"{json.dumps(asdict(call))}\n".encode())

    note = profile(read(name), write)
    threading.setprofile(note)
    sys.setprofile(note)
    sys.argv = ["jobsd", *arguments]
    from jobsd.daemon.cli.cli import main as daemon

    daemon()


if __name__ == "__main__":
    main(*sys.argv[1:])
