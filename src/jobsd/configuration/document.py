"""From a configuration file's text to nodes with places, by way of PyYAML's events.

Only events are taken from PyYAML: nothing is constructed, so a tag can make nothing. What
a hostile or broken file could blow up is bounded: the size of the file (`load`), how deep
values are nested, how many there are once every alias is written out, and how much text
variables bring. Merge keys (`<<: *default`) work.

The quick parser (libyaml) does the work where it is installed. When it refuses a text, the
one in Python reads it again: its errors are the ones that `syntax` can put into words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from jobsd.configuration.faults import quoted, shortened
from jobsd.configuration.nodes import Mapping, Pair, Scalar, Sequence
from jobsd.configuration.secrecy import has_password, is_secret
from jobsd.configuration.source import Place
from jobsd.configuration.substitution import FORMS, Masked
from jobsd.configuration.syntax import in_words

if TYPE_CHECKING:
    import collections.abc as c

    from jobsd.configuration.faults import Faults
    from jobsd.configuration.nodes import Node
    from jobsd.configuration.source import Source
    from jobsd.configuration.substitution import Substitution

DEEPEST = 32
MOST_VALUES = 250_000
MOST_FROM_VARIABLES = 1 << 20

_TOO_DEEP = f"values are nested more than {DEEPEST} deep"
_QUICK = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_SURROGATE = re.compile("[\ud800-\udfff]")
_COLLECTIONS = {f"{_CORE}map", f"{_CORE}seq", "!", None}


class _Malformed(Exception):  # noqa: N818  -- ends the reading of one file; becomes a fault
    def __init__(self, start: int, end: int, message: str, hint: str = "") -> None:
        self.found = (start, end, message, hint)
        super().__init__(message)


def compose(source: Source, environ: c.Mapping[str, str], faults: Faults) -> Node | None:
    """Return what the document holds; None when it is empty, or not well formed."""
    masked = Masked(source.text)
    composer = _Composer(source, masked, environ, faults)
    try:
        return composer.document()
    except _Malformed as malformed:
        composer.keep_rest_secret()
        start, end, message, hint = malformed.found
        faults.add(Place(source, start, end), message, hint)
    except yaml.YAMLError as error:
        composer.keep_rest_secret()
        for start, end, message, hint in in_words(error, source, masked):
            faults.add(Place(source, start, end), message, hint)
    return None


def _events(text: str) -> c.Iterator[yaml.Event]:
    """Read `text` once with the quick parser; when it refuses, by the one that explains."""
    try:
        yield from yaml.parse(text, Loader=_QUICK)
    except yaml.YAMLError:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:  # each level makes this parser slower for all that follow
                raise _Malformed(*_span(event), _TOO_DEEP) from None
        raise


class _Composer:
    """Builds the nodes of one document; `self._size` counts them with aliases written out.

    What was read up to `self._read` is known; `self._secret` while a value is read that
    nobody is to be shown.
    """

    def __init__(
        self,
        source: Source,
        masked: Masked,
        environ: c.Mapping[str, str],
        faults: Faults,
    ) -> None:
        self._source = source
        self._masked = masked
        self._environ = environ
        self._faults = faults
        self._events = _events(masked.text)
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._size = 0
        self._deepest = 0
        self._from_variables = 0
        self._read = 0
        self._secret = False

    def document(self) -> Node | None:
        root = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    start, _ = _span(event)
                    raise _Malformed(start, start + 3, "a second document begins here")
                root = self._node(next(self._events), 0)
        return None if isinstance(root, Scalar) and root.is_null else root

    def keep_rest_secret(self) -> None:
        """Show nothing of what could not be read and would have been secret."""
        secrets = self._source.secrets
        secrets.unread = self._read
        if self._secret:
            secrets.add(self._read, len(self._source.text))

    def _node(self, event: yaml.Event, depth: int) -> Node:
        size = self._size
        self._read = _span(event)[0]
        self._count(event, 1)
        self._descend(event, depth)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        above, self._deepest = self._deepest, depth
        node = self._written(event, depth)
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            height = self._deepest - depth
            self._anchors[event.anchor] = node, self._size - size, height
        self._deepest = max(above, self._deepest)
        return node

    def _written(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        raise self._malformed(event, "a value is missing")

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        place = self._place(event)
        self._require_tag(event, event.tag, {None, "!", f"{_CORE}str"})
        found = self._masked.within(*_span(event))
        text = self._substituted(event, found) if found else event.value
        self._keep_secret(event, place, text)
        self._read = _span(event)[1]
        self._require_text(place, text)
        plain = event.implicit[0] and not event.style
        return Scalar(place, text, plain, tuple(one.name for one in found if one.name))

    def _keep_secret(self, event: yaml.ScalarEvent, place: Place, text: str) -> None:
        start, end = _span(event)
        written = self._source.text[start:end]
        if start < end and (self._secret or has_password(written) or has_password(text)):
            self._source.secrets.add_value(place.start, place.end)

    def _substituted(self, event: yaml.ScalarEvent, found: c.Iterable[Substitution]) -> str:
        values = [substitution.value(self._environ) for substitution in found]
        for substitution in found:
            if substitution.problem:
                at = Place(self._source, substitution.start, substitution.end)
                self._faults.add(at, substitution.problem, f"write {FORMS}")
        self._from_variables += sum(map(len, values))
        if self._from_variables > MOST_FROM_VARIABLES:
            raise self._malformed(event, "variables bring more than 1 MiB of text")
        return self._masked.restore(event.value, values)

    def _sequence(self, event: yaml.SequenceStartEvent, depth: int) -> Sequence:
        self._require_tag(event, event.tag, _COLLECTIONS)
        items: list[Node] = []
        while not isinstance(following := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(following, depth + 1))
        return Sequence(self._place(event), tuple(items))

    def _mapping(self, event: yaml.MappingStartEvent, depth: int) -> Mapping:
        self._require_tag(event, event.tag, _COLLECTIONS)
        pairs: dict[str, Pair] = {}
        merged: dict[str, Pair] = {}
        while not isinstance(following := next(self._events), yaml.MappingEndEvent):
            key = self._key(following, depth)
            value = self._value(key, depth)
            if key.plain and key.text == "<<":
                self._merge(merged, key, value)
            elif key.text in pairs:
                first = pairs[key.text].key.place.line
                hint = f"the first is in line {first}"
                self._faults.add(key.place, f"{quoted(key.text)} is given twice", hint)
            else:
                pairs[key.text] = Pair(key, value)
        return Mapping(self._place(event), {**merged, **pairs})

    def _value(self, key: Scalar, depth: int) -> Node:
        outside, self._secret = self._secret, is_secret(key.text, below=self._secret)
        value = self._node(next(self._events), depth + 1)
        # Not where that fails: nothing is read any more, and the rest is as secret.
        self._secret = outside
        return value

    def _key(self, event: yaml.Event, depth: int) -> Scalar:
        outside, self._secret = self._secret, False
        key = self._node(event, depth + 1)
        self._secret = outside
        if not isinstance(key, Scalar):
            raise self._malformed(event, "a key must be a word, not a list or a mapping")
        if key.variables:
            hint = "only values can come from variables"
            self._faults.add(key.place, "a variable can't be a key", hint)
        return key

    def _merge(self, merged: dict[str, Pair], key: Scalar, value: Node) -> None:
        for source in value.items if isinstance(value, Sequence) else (value,):
            if not isinstance(source, Mapping):
                self._faults.add(key.place, '"<<" must hold a mapping, or a list of mappings')
                continue
            for name, pair in source.pairs.items():
                merged.setdefault(name, pair)

    def _alias(self, event: yaml.AliasEvent, depth: int) -> Node:
        if event.anchor not in self._anchors:
            name = "…" if self._secret else shortened(str(event.anchor))
            raise self._malformed(event, f'"*{name}" refers to no "&{name}" above it')
        node, size, height = self._anchors[event.anchor]
        self._count(event, size)
        self._descend(event, depth + height)
        return node

    def _count(self, event: yaml.Event, size: int) -> None:
        self._size += size
        if self._size > MOST_VALUES:
            raise self._malformed(
                event, f"there are more than {MOST_VALUES:,} values, aliases included"
            )

    def _descend(self, event: yaml.Event, depth: int) -> None:
        self._deepest = max(self._deepest, depth)
        if depth > DEEPEST:
            raise self._malformed(event, _TOO_DEEP)

    def _require_tag(
        self, event: yaml.Event, tag: str | None, allowed: c.Set[str | None]
    ) -> None:
        if tag not in allowed:
            name = "here" if self._secret else quoted(str(tag))
            raise _Malformed(*_span(event), f"the tag {name} is not allowed")

    def _require_text(self, place: Place, text: str) -> None:
        """Refuse what PostgreSQL can't hold as text."""
        if "\0" in text:
            self._faults.add(place, "a text can't hold a NUL character")
        if _SURROGATE.search(text):
            self._faults.add(place, "a text must consist of Unicode characters")

    def _place(self, event: yaml.Event) -> Place:
        """Return where a value stands, without the anchor or tag before it."""
        text, (start, end) = self._masked.text, _span(event)
        while start < end and text[start] in "&!":
            while start < end and not text[start].isspace():
                start += 1
            while start < end and text[start].isspace():
                start += 1
        return Place(self._source, start, max(end, start + 1))

    def _malformed(self, event: yaml.Event, message: str) -> _Malformed:
        place = self._place(event)
        return _Malformed(place.start, place.end, message)


def _span(event: yaml.Event) -> tuple[int, int]:
    """Return where an event begins and ends; every event of a parser has both marks."""
    start, end = event.start_mark, event.end_mark
    return (start.index if start else 0, end.index if end else 0)
