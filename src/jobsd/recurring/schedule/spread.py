"""The stable substitute for chance: `H` and `~` choose a moment by a hash of the task's key.

A moment drawn anew by each process would differ between hosts and move at each restart;
the hash spreads tasks as well, and every scheduler computes the same one.
"""

from __future__ import annotations

from zlib import crc32


def chosen(key: str, field_name: str, count: int) -> int:
    """Return a number below `count` that depends on the key and the field alone."""
    return crc32(f"{field_name}\0{key}".encode("utf-8", "surrogatepass")) % count
