"""What `doctor` has found out about one thing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """How it stands with one thing."""

    level: Level
    subject: str
    message: str

    def facts(self) -> dict[str, Any]:
        """Return it for a program."""
        return asdict(self)
