"""What the documents show."""

from __future__ import annotations

import re


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page that are in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
