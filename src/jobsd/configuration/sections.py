"""Selects the part of a file to use: the environment's section over `default`, or all of it.

A file has sections when its top level has `default` or the environment's name, or when
none of its keys could be anything else and all of them hold mappings. The section overlays
`default`: mappings key by key, lists whole. The other sections are checked, too, each over the
same keys of `default`, so that a fault in the section of production shows in development.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from jobsd import text

from .faults import Faults, label, nearest
from .source import Mapping, Node, Pair, is_null

DEFAULT = "default"

_MISSPELT = 0.8
"""The minimum similarity between an environment and a section that probably is its own."""


@dataclass(frozen=True, slots=True)
class Sections:
    """`used` is in effect, over `default`; `unused` are the other sections."""

    used: Mapping | None
    default: Mapping | None = None
    unused: tuple[Mapping, ...] = ()
    warning: str = ""


def pick(
    root: Node | None, environment: str, is_own: Callable[[Pair], bool], faults: Faults
) -> Sections:
    """Return the part of a file that is in effect in `environment`.

    `is_own` returns whether a pair of the top level belongs to a file without sections.
    """
    if root is None:
        return Sections(None)
    if not isinstance(root, Mapping):
        faults.add(root.span, "the file must hold a mapping", "write `key: value` lines")
        return Sections(None)
    if not _has_sections(root, environment, is_own):
        return Sections(root)
    sections = {name: _section(pair, faults) for name, pair in root.pairs.items()}
    default, own = sections.pop(DEFAULT, None), sections.pop(environment, None)
    unused = tuple(overlaid(_narrowed(default, one), one) for one in sections.values() if one)
    if environment not in root.pairs and not (default and default.pairs):
        return Sections(None, None, unused, _nothing_for(root, environment) if unused else "")
    odd = "" if environment in root.pairs else _misspelt(root, environment)
    return Sections(overlaid(default, own) if own else default, default, unused, odd)


def overlaid(base: Mapping | None, top: Mapping) -> Mapping:
    """Return `base` with the values of `top` over it."""
    pairs = dict(base.pairs) if base else {}
    for name, pair in top.pairs.items():
        below = pairs[name].value if name in pairs else None
        value = pair.value
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = overlaid(below, value)
        pairs[name] = Pair(pair.key, value)
    return Mapping(top.span, pairs)


def _has_sections(root: Mapping, environment: str, is_own: Callable[[Pair], bool]) -> bool:
    if not {DEFAULT, environment}.isdisjoint(root.pairs):
        return True
    pairs = root.pairs.values()
    return (
        not any(is_own(pair) for pair in pairs)
        and all(isinstance(pair.value, Mapping) or is_null(pair.value) for pair in pairs)
        and any(isinstance(pair.value, Mapping) for pair in pairs)
    )


def _section(pair: Pair, faults: Faults) -> Mapping | None:
    if isinstance(pair.value, Mapping):
        return pair.value
    if not is_null(pair.value):
        hint = "the file has sections, one for each environment"
        faults.add(pair.value.span, f"section {label(pair.key.text)} must be a mapping", hint)
    return None


def _narrowed(default: Mapping | None, section: Mapping) -> Mapping | None:
    """Return the part of `default` whose keys the section has.

    Otherwise each of ten sections would be checked with all of `default`.
    """
    if default is None:
        return None
    pairs = {name: pair for name, pair in default.pairs.items() if name in section.pairs}
    return Mapping(default.span, pairs)


def _nothing_for(root: Mapping, environment: str) -> str:
    names = ", ".join(map(label, islice(root.pairs, 10)))
    near = nearest(environment, root.pairs)
    meant = f"; did you mean {label(near)}?" if near else ""
    return (
        f"has sections ({names}), but none for {label(environment)}, the current"
        f" environment (JOBSD_ENV{meant})"
    )


def _misspelt(root: Mapping, environment: str) -> str:
    names = [name for name in root.pairs if name != DEFAULT]
    near = text.closest(environment, names, _MISSPELT)
    if not near:
        return ""
    return (
        f"has no section {label(environment)}, the current environment"
        f" (JOBSD_ENV; did you mean {label(near)}?)"
    )
