"""Jobs that loop within something that has to be cleaned up, in many shapes."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from jobsd.errors import InterruptError

if TYPE_CHECKING:
    from collections.abc import Callable

AROUND = {
    "finally": "try:\n{body}\nfinally:\n    cleaned()",
    "except": (
        "try:\n{body}\nexcept InterruptError:\n    cleaned()\n    raise\nelse:\n    cleaned()"
    ),
    "except-finally": (
        "try:\n{body}\nexcept InterruptError:\n    cleaned()\n    raise\n"
        "finally:\n    cleaned()"
    ),
    "with": "with Cleaning(cleaned):\n{body}",
    "lock": "with lock:\n{body}\ncleaned()",
    "nested-with": "with Cleaning(cleaned):\n    with lock, Cleaning(cleaned):\n{body}",
    "return": "try:\n{body}\n    return endless()\nfinally:\n    cleaned()",
}
"""What is around a loop; `lock` has to be free at the end."""

LOOPS = {
    "while": "while number < end:\n    number += 1",
    "while-in-one-line": "while number < end: number += 1",
    "while-call": "while endless(): pass",
    "while-not": "while not (number == end):\n    number += 1",
    "while-and": "while number < end and number >= 0:\n    number += 1",
    "while-true": "while True:\n    number += 1\n    if number == end: break",
    "while-continue": (
        "while number < end:\n    number += 1\n    if number % 2: continue\n    number += 0"
    ),
    "for": "for _ in range(end):\n    number += 1",
    "for-in-one-line": "for _ in range(end): pass",
    "for-if": "for _ in range(end):\n    if number > 1:\n        number += 1",
    "while-with": "while number < end:\n    with other:\n        number += 1",
    "while-try": (
        "while number < end:\n    try:\n        number += 1\n    except ValueError:\n"
        "        continue\n    finally:\n        number += 0"
    ),
    "while-while": (
        "while number < end:\n    count = 0\n    while count < 2:\n        count += 1\n"
        "    number += 1"
    ),
    "comprehension": "[n for n in range(end) if n < 0 if n > 1]",
    "generator-expression": "sum(n for n in range(end) if n < 0)",
    "sort": "any(map(lambda n: n < 0, range(end)))",
    "match": (
        "while number < end:\n    match number % 2:\n        case 0: number += 1\n"
        "        case _: number += 1"
    ),
}

FRAMES = {
    "function": "def perform():\n    number = 0\n{body}",
    "nested-function": (
        "def perform():\n    def inner():\n        number = 0\n{deeper}\n    inner()"
    ),
    "generator": (
        "def inner():\n    number = 0\n    yield 1\n{body}\n"
        "def perform():\n    for _ in inner(): pass"
    ),
    "coroutine": (
        "async def inner():\n    number = 0\n{body}\ndef perform():\n    asyncio.run(inner())"
    ),
}


class Cleaning:
    """Says at the end of a block that it was cleaned up."""

    def __init__(self, cleaned: Callable[[], object]) -> None:
        self.cleaned = cleaned

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.cleaned()


def shape(frame: str, around: str, loop: str, names: dict[str, Any]) -> Callable[[], object]:
    """Return a function of this shape, which calls `entered` within what is around its loop.

    It loops until `number` is `end`, or for as long as `endless` says.
    """
    body = f"entered()\n{LOOPS[loop]}"
    deep = "        " if around == "nested-with" else "    "
    all_of_it = AROUND[around].replace("{body}", textwrap.indent(body, deep))
    code = FRAMES[frame].format(
        body=textwrap.indent(all_of_it, "    "), deeper=textwrap.indent(all_of_it, "        ")
    )
    known: dict[str, Any] = {
        "__name__": "shapes",
        "InterruptError": InterruptError,
        "Cleaning": Cleaning,
    }
    known.update(names)
    exec(compile(code, f"<{frame} {around} {loop}>", "exec"), known)  # noqa: S102 - ours
    made: Callable[[], object] = known["perform"]
    return made
