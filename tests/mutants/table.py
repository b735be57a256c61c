"""The table of mutants: a TOML file a room, a section a mutant.

    [a-name-that-says-it]
    breaks = "One sentence: what goes wrong."
    file = "src/jobsd/performing/pool.py"
    find = "the text that stands there, once"
    put = "what stands there instead"
    test = "tests/worker/test_pool.py::test_a_name[case]"  # or a folder: what must fail

`which = 2` takes the second of several places, and says that there are several. `equivalent`
gives the reason why nobody can tell the mutant from the program; such a one is not run.
`lives` gives the reason why a mutant that could be told is killed by no test.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLES = Path(__file__).parent


class TextError(Exception):
    """The text of a mutant is not where its table says that it is."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault that somebody could make, and the test that must tell of it."""

    room: str
    name: str
    breaks: str
    file: str
    find: str
    put: str
    test: str
    which: int = 0
    """Of several places that have the text, from 1; 0: there is one."""
    equivalent: str = ""
    lives: str = ""

    @property
    def id(self) -> str:
        """How it is called on the command line and in the results."""
        return f"{self.room}.{self.name}"

    @property
    def test_file(self) -> str:
        """The file or folder of its test."""
        return self.test.partition("::")[0]

    def text(self, root: Path) -> str:
        """Return what its file has when the mutant is in it.

        Raises:
            TextError: the text is not found, or more than once.
        """
        path = root / self.file
        found = path.read_text(encoding="utf-8").split(self.find) if path.is_file() else [""]
        places = len(found) - 1
        if self.put == self.find:
            raise TextError(f"{self.id}: changes nothing")
        if not self.which and places != 1:
            raise TextError(f"{self.id}: its text stands {places} times in {self.file}")
        if self.which > places:
            raise TextError(f"{self.id}: its text stands only {places} times in {self.file}")
        place = self.which or 1
        return self.put.join((self.find.join(found[:place]), self.find.join(found[place:])))


def read(folder: Path = TABLES) -> list[Mutant]:
    """Return all mutants, by room and in the order of the tables."""
    return [
        Mutant(room=path.stem, name=name, **columns)
        for path in sorted(folder.glob("*.toml"))
        for name, columns in tomllib.loads(path.read_text(encoding="utf-8")).items()
    ]


def missing(mutants: list[Mutant], root: Path) -> list[str]:
    """Return a sentence for each mutant whose text is not found."""
    reported: list[str] = []
    for mutant in mutants:
        try:
            mutant.text(root)
        except TextError as error:
            reported.append(str(error))
    return reported
