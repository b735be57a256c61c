"""What the documents show."""

from __future__ import annotations

import re
from pathlib import Path

HOME = Path(__file__).parents[2]
GUIDE = HOME / "docs/guide"


def guide(*names: str) -> str:
    """Return the text of pages of the guide, one after the other."""
    return "\n".join((GUIDE / f"{name}.md").read_text(encoding="utf-8") for name in names)


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page that are in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def typed(page: str) -> list[str]:
    """Return the commands that a page shows at a prompt, in order."""
    return [
        line.removeprefix("$ ").strip()
        for block in blocks(page, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
