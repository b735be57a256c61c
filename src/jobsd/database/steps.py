"""The numbered migration steps, and the SQL of each for a schema.

A step is an SQL file, or a folder of them that are applied in the order of their names. No
driver is needed: `db sql` prints them, and anyone with the rights can apply them.

An applied step stores a hash of its statements, which identifies tables of another build.
Comments and blanks don't count, so they may be changed in a step that was applied. All other
characters count.
"""

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from .statements import Statement, quote_identifier

OLDEST = 50
"""The oldest tables that this program works with, while hosts are deployed one after the other:
at least those of the release before. Against them its statements leave out the lines that are
marked for a later step (`statements`)."""
AHEAD = 1
"""How many steps newer tables may be: a release has one at most, made so that the program
before works with it. The effect of later steps is unknown to this program."""

_STEPS = Path(__file__).with_name("migrations")
_STEP = re.compile(r"(\d{4})_(\w+?)(?:\.sql)?")
# The part that begins first counts: an apostrophe in a comment opens no text. A function's
# body, between `$$`, is read like the text around it.
_TOKEN = re.compile(
    r"(?:\s|--[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*"
    r"([eE]'(?:[^'\\]|\\.|'')*'"
    r"|'(?:[^']|'')*'"
    r'|"(?:[^"]|"")*"'
    r"|\$\$"
    r"|\w+"
    r"|\S|\Z)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: its number, its name, its statements."""

    version: int
    name: str
    text: str

    @property
    def title(self) -> str:
        """Its number and its name, as its file has them."""
        return f"{self.version:04d}_{self.name}"

    @property
    def hash(self) -> str:
        """The hash in its row, of its statements without comments and blanks."""
        return statements_hash(self.text)


@cache
def statements_hash(text: str) -> str:
    """Return the hash of statements: 64 hexadecimal digits."""
    hashed = sha256()
    for token in _TOKEN.finditer(text):  # a list of all would stay in each process's memory
        if token[1]:
            hashed.update(f"{token[1]}\n".encode())
    return hashed.hexdigest()


@cache
def migrations() -> tuple[Migration, ...]:
    """Return every step, in order."""
    found = [
        Migration(int(match[1]), match[2], _text(entry))
        for entry in _STEPS.iterdir()
        if (match := _STEP.fullmatch(entry.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


def _text(step: Path) -> str:
    if step.is_file():
        return step.read_text(encoding="utf-8")
    parts = sorted(step.iterdir(), key=lambda part: part.name)
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


def first_version() -> int:
    """Return the version of the first tables: older ones can't be migrated."""
    return migrations()[0].version


def latest_version() -> int:
    """Return the version of the tables that this program makes."""
    return migrations()[-1].version


@cache
def works_with_older() -> bool:
    """Return whether this program works with tables before its own; reads no step."""
    names = (entry.name for entry in _STEPS.iterdir())
    return any(int(match[1]) > OLDEST for name in names if (match := _STEP.fullmatch(name)))


def oldest_supported() -> int:
    """Return the oldest version of the tables that this program can work with."""
    return OLDEST


def newest_supported() -> int:
    """Return the newest version of the tables that this program can work with."""
    return latest_version() + AHEAD


def ddl(schema: str) -> str:
    """Return all statements that make the tables, to be applied by hand."""
    steps = [bookkeeping(schema)]
    steps += [body(migration, schema) for migration in migrations()]
    return "\n".join(steps)


def bookkeeping(schema: str) -> str:
    """Return the statements that make the schema, and its table of versions."""
    name = quote_identifier(schema)
    return (
        f"CREATE SCHEMA IF NOT EXISTS {name};\n"
        f"CREATE TABLE IF NOT EXISTS {name}.schema_migrations (\n"
        "    version integer PRIMARY KEY,\n"
        "    name text NOT NULL,\n"
        "    applied_at timestamptz NOT NULL DEFAULT now(),\n"
        "    statements_hash text\n"
        ");\n"
    )


def body(step: Migration, schema: str) -> str:
    """Return the statements of a step, and of the row that records it as applied."""
    text = Statement(step.name, step.text).render(schema).decode()
    table = f"{quote_identifier(schema)}.{quote_identifier('schema_migrations')}"
    row = f"({step.version}, '{step.name}', '{step.hash}')"
    return f"{text}\nINSERT INTO {table} (version, name, statements_hash) VALUES {row};\n"
