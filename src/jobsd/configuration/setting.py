"""One setting: a row of the table that the classes of `options` make up.

    threads: int = setting(whole(1, 256), "3", "How many jobs a process runs at once.")

A row has all facts of a setting: its valid values, its default in the syntax of the file, one
sentence, and the flag and the variable that beat the file. Reading, checking, `start --help`,
the shipped queue.yml, the file of `init`, the reference page and the defaults of direct calls
all come from the rows. The field's name is the key, without the unit at its end (`_s`), since a
duration is written with a unit of its own or with none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar, cast

from . import kinds, source

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Setting(Generic[T]):
    """One row.

    `default` is its text in the file; `default_when_trying` the one of the environments in
    which people try things out, if it differs. `flag` has its placeholder after it ("--pidfile
    FILE"). `variable` beats the file, `fallback` yields to it. With `adds` the values of the
    flag follow those of the file instead of replacing them.
    """

    kind: kinds.Kind[T]
    default: str
    sentence: str
    flag: str = ""
    variable: str = ""
    fallback: str = ""
    key: str = ""
    default_when_trying: str = ""
    adds: bool = False

    @property
    def flag_option(self) -> str:
        """The flag as it is typed: "--pidfile"."""
        return next((word for word in self.flag.split() if word.startswith("--")), "")

    @property
    def flag_name(self) -> str:
        """The name by which `Flags` knows it; `import` is a word of Python."""
        name = self.flag_option.removeprefix("--").replace("-", "_")
        return "imports" if name == "import" else name

    @property
    def default_in_yaml(self) -> str:
        """The default in the syntax of a file; an empty text means an empty list."""
        return f'"{self.default}"' if self.default == "*" else self.default or "[]"

    def default_value(self, *, trying: bool = False) -> T:
        """Return the default as a value."""
        text = self.default_when_trying if trying else ""
        return self.kind(source.Scalar(source.NOWHERE, text or self.default, plain=True))


def setting(  # noqa: PLR0913 - the columns of a row
    kind: kinds.Kind[T],
    default: str,
    sentence: str,
    flag: str = "",
    variable: str = "",
    *,
    secret: bool = False,
    **more: Any,  # noqa: ANN401 - the other fields of a row
) -> T:
    """Make a field of a dataclass a row of the table; no `repr` shows a `secret` one."""
    row = Setting(kind, default, sentence, flag, variable, **more)
    made: T = field(default=row.default_value(), repr=not secret, metadata={"setting": row})
    return made


def settings_of(options: type) -> Iterator[tuple[str, str, Setting[object]]]:
    """Yield the rows of one class: field, key, setting."""
    for each in fields(options):
        row = cast("Setting[object] | None", each.metadata.get("setting"))
        if row is not None:
            yield each.name, row.key or each.name.removesuffix("_s"), row
