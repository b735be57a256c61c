"""Passwords, taken out of what is told."""

from __future__ import annotations

import re

_HIDDEN = "***"
# user:PASSWORD@ behind "://", up to the last "@" before the host ends; and password=…,
# bare or in quotes, as libpq and its errors write it.
_IN_URL = re.compile(r"(://[^\s:/@\"']*):[^\s/\"']+@")
_IN_WORDS = re.compile(
    r"(\b(?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s'\"&]+)", re.IGNORECASE
)


def redact(text: str) -> str:
    """Return the text with the passwords of URLs and connection strings hidden."""
    if "://" in text:
        text = _IN_URL.sub(rf"\1:{_HIDDEN}@", text)
    if "assword" in text or "ASSWORD" in text:
        text = _IN_WORDS.sub(rf"\1{_HIDDEN}", text)
    return text
