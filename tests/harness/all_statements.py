"""All statements of the product, as its files have them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.database.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Iterator


def all_statements() -> Iterator[tuple[str, str]]:
    """Return the name and the text of each statement that the product sends."""
    source = Path(str(files("jobsd")))
    for room in sorted(each for each in source.iterdir() if each.is_dir()):
        top = room.resolve()
        for path in sorted(top.rglob("*.sql")):
            if "migrations" not in path.parts:
                below = path.parent.relative_to(top).parts
                for statement in Statements(".".join(("jobsd", room.name, *below)), path.name):
                    yield f"{room.name}/{path.stem}.{statement.name}", statement.text
