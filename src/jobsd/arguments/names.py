"""Keys made from a job's arguments: by their names, or of all arguments.

`key="order_id"` is the argument of that name, and `key=("tenant", "order_id")` is the tuple of
both, if the job takes arguments of these names; any other value is used literally.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, cast

from jobsd import errors, text

from .signature import Signature

_PLAIN = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


class NamedArguments:
    """A key function that picks arguments by their names: one value, or a tuple of several."""

    __slots__ = ("_picks", "names", "single")

    def __init__(self, names: Sequence[str], signature: Signature, *, single: bool) -> None:
        """Pick these arguments of a job with this signature."""
        self.names = tuple(names)
        self.single = single
        at = {each.name: each for each in signature.parameters}
        order = [name for name, each in at.items() if each.kind != each.KEYWORD_ONLY]
        self._picks = [
            (name, order.index(name) if name in order else None, at[name].default)
            for name in self.names
        ]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the user's own
        """Return the key of a job with these arguments."""
        picked = tuple(
            args[place]
            if place is not None and place < len(args)
            else kwargs.get(name, default)
            for name, place, default in self._picks
        )
        return picked[0] if self.single else picked


def resolved(option: str, key: object, signature: Signature) -> Any:  # noqa: ANN401 - any key
    """Return the key of a job: a function if it names arguments, otherwise the value itself.

    Raises:
        Error: for a tuple of which only a part names arguments, and for a name that is nearly
            that of an argument.
    """
    single = isinstance(key, str)
    parts = (key,) if single else key
    if callable(key) or not isinstance(parts, tuple) or not parts:
        return key
    given = cast("tuple[object, ...]", parts)
    taken = [each.name for each in signature.parameters if each.kind in _PLAIN]
    strange = [part for part in given if part not in taken]
    if not strange:
        return NamedArguments(cast("tuple[str, ...]", given), signature, single=single)
    texts = [part for part in strange if isinstance(part, str)]
    near = [near for part in texts if (near := text.closest(part, taken, 0.8))]
    if near or len(strange) < len(given):
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise errors.Error(
            f"{option}: key={key!r}: {strange[0]!r} is not an argument of the job, which takes"
            f" {', '.join(taken)}{hint} A fixed key is written as a function:"
            f" key=lambda *_, **__: {key!r}"
        )
    return key


def by_name(
    signature: Signature | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return all arguments of a call, each by its name, including omitted ones."""
    if signature is None:
        return args, kwargs
    return (), signature.named(args, kwargs)
