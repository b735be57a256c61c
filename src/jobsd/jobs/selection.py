"""The queues that a worker takes from, as its configuration names them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Selection:
    """The queues of one worker, as they stand in its configuration."""

    patterns: tuple[str, ...]

    @property
    def everything(self) -> bool:
        """Whether all queues are selected: `*` among names selects all of them."""
        return "*" in self.patterns

    @property
    def has_prefixes(self) -> bool:
        """Whether the selected queues must be looked up."""
        return any(pattern.endswith("*") for pattern in self.patterns)

    @property
    def prefixes(self) -> list[str]:
        """The prefixes of the queues that must be looked up; that of `*` is empty."""
        stems = [pattern[:-1] for pattern in self.patterns if pattern.endswith("*")]
        return [""] if "" in stems else stems

    def resolve(self, known: Sequence[str]) -> list[str]:
        """Return the names that the patterns mean, each once, at its first place."""
        names: dict[str, None] = {}
        for pattern in self.patterns:
            prefix = pattern.removesuffix("*")
            found = [pattern] if prefix == pattern else sorted(_starting(known, prefix))
            names.update(dict.fromkeys(found))
        return list(names)

    def matches(self, queue: str) -> bool:
        """Return whether a queue is selected."""
        return self.everything or any(
            queue == pattern or (pattern.endswith("*") and queue.startswith(pattern[:-1]))
            for pattern in self.patterns
        )


def _starting(known: Sequence[str], prefix: str) -> list[str]:
    return [name for name in known if name.startswith(prefix)]
