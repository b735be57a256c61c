"""Parses a configuration file's text into nodes with source spans, by means of PyYAML.

PyYAML's composer makes the nodes, with marks and anchors; no values are constructed, so a tag
has no effect. Bounds against hostile or broken files apply while it composes: the depth of
nested values and their number, with every alias written out (and before, the size of the file;
afterwards, the length of the text from variables). Merge keys (`<<: *default`) work.

The quick parser (libyaml) does the work if it is installed. When it refuses a text, the one in
Python reads it again: its errors are the ones that `syntax` can put into words.
"""

from __future__ import annotations

import collections.abc as c
from typing import Any, cast

import yaml
from yaml.composer import Composer

from jobsd.text import is_storable

from . import secrecy
from .faults import Faults, quoted, shortened
from .source import Mapping, Node, Pair, Scalar, Sequence, Source, SourceSpan
from .substitution import FORMS, Masked, Substitution

DEPTH_MAX = 32
VALUES_MAX = 250_000
FROM_VARIABLES_MAX = 1 << 20

_QUICK: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
# The tags of nodes without a written one: the type of a plain scalar comes from its text.
_PLAIN, _IMPLICIT = "?", "!"
_SCALARS = {_PLAIN, _IMPLICIT, f"{_CORE}str"}
_COLLECTIONS = {_IMPLICIT, f"{_CORE}map", f"{_CORE}seq"}


class _Malformed(Exception):  # noqa: N818  -- ends the reading of one file; becomes a fault
    def __init__(self, span: SourceSpan, message: str) -> None:
        self.span = span
        self.message = message
        super().__init__(message)


def compose(source: Source, environ: c.Mapping[str, str], faults: Faults) -> Node | None:
    """Return the document's root; None when it is empty, or not well formed."""
    masked = Masked(source.text)
    try:
        composed = _compose(source, masked)
        if composed is None:
            return None
        root = _Converter(source, masked, environ, faults).node(composed)
    except _Malformed as malformed:
        faults.add(malformed.span, malformed.message)
    except yaml.YAMLError as error:
        from . import syntax  # noqa: PLC0415 - few files are broken

        for start, end, message, hint in syntax.in_words(error, source, masked):
            faults.add(SourceSpan(source, start, end), message, hint)
    else:
        return None if isinstance(root, Scalar) and root.is_null else root
    return None


def _compose(source: Source, masked: Masked) -> yaml.Node | None:
    """Compose with the quick parser; when it refuses the text, with the one that explains."""
    try:
        return _composer(_QUICK, source, masked).compose()
    except yaml.YAMLError:
        _composer(yaml.SafeLoader, source, masked).compose()
        raise


def _composer(parser: Any, source: Source, masked: Masked) -> _Composer:  # noqa: ANN401 - PyYAML's
    return cast("_Composer", type("_Loader", (_Composer, parser), {})(parser, source, masked))


class _Composer(Composer):
    """PyYAML's composer over one of its parsers, bounded, and aware of secrets.

    `_size` counts the nodes with aliases written out; `_extents` has size and height below each
    anchor. The text up to `_read` was understood; `_secret` is true while a secret value is
    read.
    """

    peek_event: Any
    dispose: Any

    def __init__(self, parser: Any, source: Source, masked: Masked) -> None:  # noqa: ANN401
        parser.__init__(self, masked.text)
        self.anchors: dict[Any, yaml.Node] = {}
        self._source = source
        self._masked = masked
        self._extents: dict[str, tuple[int, int]] = {}
        self._size = 0
        self._depth = 0
        self._deepest = 0
        self._read = 0
        self._secret = False

    def compose(self) -> yaml.Node | None:
        """Return the only document; when it can't be read, keep the rest of the text secret."""
        try:
            return self.get_single_node()
        except (_Malformed, yaml.YAMLError):
            self._source.secrets.unread = self._read
            if self._secret:
                self._source.secrets.add(self._read, len(self._source.text))
            raise
        finally:
            self.dispose()

    def resolve(self, kind: type, _value: object, implicit: Any) -> str:  # noqa: ANN401
        """Return the tag of a node without a written one."""
        return _PLAIN if kind is yaml.ScalarNode and implicit[0] else _IMPLICIT

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - PyYAML's signature
        """Compose a node within the bounds. A key comes with no index, its value with it."""
        event = self.peek_event()
        self._read = event.start_mark.index
        outside = self._secret
        if isinstance(parent, yaml.MappingNode):
            key: Any = index
            self._secret = isinstance(key, yaml.ScalarNode) and self._is_secret(key)
        size, above, self._deepest = self._size, self._deepest, self._depth
        is_alias = isinstance(event, yaml.AliasEvent)
        self._require_bounds(event, *self._extent(event) if is_alias else (1, 0))
        if event.anchor and not is_alias:
            self.anchors.pop(event.anchor, None)  # a later anchor may have the same name
        self._depth += 1
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if not is_alias:
            self._keep_secret(event, node)
            if event.anchor:
                self._extents[event.anchor] = self._size - size, self._deepest - self._depth
        self._deepest = max(above, self._deepest)
        # Not after an error: nothing is read any more, and the rest is as secret.
        self._secret = outside
        return node

    def _is_secret(self, key: yaml.ScalarNode) -> bool:
        """Return whether the value of a key is secret, by the key's name."""
        if self._masked.within(key.start_mark.index, key.end_mark.index):
            return True
        return secrecy.is_secret(key.value, below=self._secret)

    def _extent(self, alias: yaml.AliasEvent) -> tuple[int, int]:
        """Return the size of an alias's value, itself included, and the height."""
        if alias.anchor not in self._extents:
            name = "…" if self._secret else shortened(str(alias.anchor))
            raise self._malformed(alias, f'"*{name}" refers to no "&{name}" above it')
        size, height = self._extents[alias.anchor]
        return size + 1, height

    def _require_bounds(self, event: Any, size: int, height: int) -> None:  # noqa: ANN401
        self._size += size
        if self._size > VALUES_MAX:
            raise self._malformed(
                event, f"there are more than {VALUES_MAX:,} values, aliases included"
            )
        self._deepest = max(self._deepest, self._depth + height)
        if self._deepest > DEPTH_MAX:
            raise self._malformed(event, f"values are nested more than {DEPTH_MAX} deep")

    def _malformed(self, event: Any, message: str) -> _Malformed:  # noqa: ANN401
        marks = event.start_mark.index, event.end_mark.index
        return _Malformed(_without_properties(self._source, self._masked, *marks), message)

    def _keep_secret(self, event: Any, node: yaml.Node) -> None:  # noqa: ANN401
        start, end = event.start_mark.index, event.end_mark.index
        secrets = self._source.secrets
        if self._secret and event.tag:
            secrets.add(start, end)
        if not isinstance(node, yaml.ScalarNode):
            return
        self._read = end
        texts = {self._source.text[start:end], node.value}
        if start < end and (self._secret or any(map(secrecy.has_password, texts))):
            span = _without_properties(self._source, self._masked, start, end)
            secrets.add_value(span.start, span.end)


def _without_properties(source: Source, masked: Masked, start: int, end: int) -> SourceSpan:
    """Return the span of a value, without the anchor or tag before it."""
    text = masked.text
    while start < end and text[start] in "&!":
        while start < end and not text[start].isspace():
            start += 1
        while start < end and text[start].isspace():
            start += 1
    return SourceSpan(source, start, max(end, start + 1))


class _Converter:
    """Makes our nodes of PyYAML's: variables replaced, merge keys merged, keys unique."""

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
        self._from_variables = 0
        self._made: dict[int, Node] = {}

    def node(self, node: yaml.Node) -> Node:
        """Return our node; for an alias the same one again."""
        made = self._made.get(id(node))
        if made is None:
            made = self._made[id(node)] = self._make(node)
        return made

    def _make(self, node: yaml.Node) -> Node:
        span = self._span(node)
        if node.tag not in (_SCALARS if isinstance(node, yaml.ScalarNode) else _COLLECTIONS):
            whole = SourceSpan(self._source, node.start_mark.index, span.end)
            name = "here" if whole.is_secret else quoted(str(node.tag))
            raise _Malformed(whole, f"the tag {name} is not allowed")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, span)
        if isinstance(node, yaml.SequenceNode):
            return Sequence(span, tuple(map(self.node, node.value)))
        return self._mapping(node, span)

    def _span(self, node: yaml.Node) -> SourceSpan:
        """Return the span of a value; of a collection, its first character."""
        start, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, yaml.ScalarNode):
            return _without_properties(self._source, self._masked, start, end)
        first: Any = node.value[0] if node.value else None
        if isinstance(node, yaml.MappingNode) and first:
            first = first[0]
        until: int = min(end, first.start_mark.index) if first else end
        span = _without_properties(self._source, self._masked, start, until)
        return SourceSpan(self._source, span.start, span.start + 1)

    def _scalar(self, node: yaml.ScalarNode, span: SourceSpan) -> Scalar:
        found = self._masked.within(node.start_mark.index, node.end_mark.index)
        text = node.value
        if found:
            text = self._substituted(node, span, found)
            if secrecy.has_password(text):
                self._source.secrets.add_value(span.start, span.end)
        if "\0" in text:
            self._faults.add(span, "a text can't hold a NUL character")
        elif not is_storable(text):
            self._faults.add(span, "a text must consist of Unicode characters")
        plain = node.tag == _PLAIN and not node.style
        names = tuple(one.name for one in found if one.name)
        unset = tuple(name for name in names if name not in self._environ)
        refused = any(one.problem for one in found)
        return Scalar(span, text, plain, names, unset, refused)

    def _substituted(
        self, node: yaml.ScalarNode, span: SourceSpan, found: c.Iterable[Substitution]
    ) -> str:
        values = [substitution.value(self._environ) for substitution in found]
        for substitution in found:
            if substitution.problem:
                at = SourceSpan(self._source, substitution.start, substitution.end)
                self._faults.add(at, substitution.problem, f"write {FORMS}")
        self._from_variables += sum(map(len, values))
        if self._from_variables > FROM_VARIABLES_MAX:
            raise _Malformed(span, "variables bring more than 1 MiB of text")
        return self._masked.restore(node.value, values)

    def _mapping(self, node: yaml.Node, span: SourceSpan) -> Mapping:
        pairs: dict[str, Pair] = {}
        merged: dict[str, Pair] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            value = self.node(value_node)
            if key.plain and key.text == "<<":
                self._merge(merged, key, value)
            elif key.text in pairs:
                first = pairs[key.text].key.span.line
                hint = f"the first is in line {first}"
                self._faults.add(key.span, f"{quoted(key.text)} is given twice", hint)
            else:
                pairs[key.text] = Pair(key, value)
        return Mapping(span, {**merged, **pairs})

    def _key(self, node: yaml.Node) -> Scalar:
        key = self.node(node)
        if not isinstance(key, Scalar):
            raise _Malformed(key.span, "a key must be a word, not a list or a mapping")
        if key.variables:
            hint = "only values can come from variables"
            self._faults.add(key.span, "a variable can't be a key", hint)
        return key

    def _merge(self, merged: dict[str, Pair], key: Scalar, value: Node) -> None:
        for source in value.items if isinstance(value, Sequence) else (value,):
            if not isinstance(source, Mapping):
                self._faults.add(key.span, '"<<" must hold a mapping, or a list of mappings')
                continue
            for name, pair in source.pairs.items():
                merged.setdefault(name, pair)
