"""Keys of limits in a readable form: the text that the user gave, and the owner of the key.

`keys` has the stored text, which is unambiguous. The form here is easier to read, and is only
shown: no search uses it.
"""

import re
from typing import NamedTuple

_TOKENS = re.compile(r"~[01()@#]|/|[^~/]+|~")
_LITERAL = {"~0": "~", "~1": "/"}


class ShownKey(NamedTuple):
    """A key, and the class or group that owns it; empty if the owner has only this key."""

    key: str
    scope: str

    def __str__(self) -> str:
        """Return both in the words of a sentence."""
        return f"{self.key!r} of {self.scope}" if self.scope else repr(self.key)


def shown_key(stored: str) -> ShownKey:
    """Return the readable form of a stored key; any other text stays as it is."""
    scope, _, rest = stored.partition("/")
    whose, parts = _parts(scope), _parts(rest)
    if whose is None or parts is None:
        return ShownKey(stored, "")
    return ShownKey(", ".join(parts), whose[0]) if rest else ShownKey(whose[0] or stored, "")


def _parts(text: str) -> list[str] | None:
    """Return the parts of a key; None if a tuple in it has no beginning or no end."""
    open_ones = [[""]]
    tokens: list[str] = _TOKENS.findall(text)
    for token in tokens:
        parts = open_ones[-1]
        match token:
            case "/":
                parts.append("")
            case "~(":
                open_ones.append([""])
            case "~)":
                if len(open_ones) < 2:
                    return None
                # Each of its items is followed by a slash.
                within = ", ".join(open_ones.pop()[:-1])
                open_ones[-1][-1] += f"({within})"
            case "~@":
                # An object: its class without the module, and its id.
                parts[-1] = f"{parts[-1].rpartition('.')[2]} "
            case "~#":
                parts[-1] += "arguments "
            case _:
                parts[-1] += _LITERAL.get(token, token)
    return open_ones[0] if len(open_ones) == 1 else None
