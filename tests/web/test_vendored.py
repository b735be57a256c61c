"""What others have written lies here as they have published it, and says so."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path

import pytest

PLACES = (Path(str(files("jobsd.web"))) / "assets", Path(__file__).parents[1] / "dashboard")
NAMED = re.compile(
    r"^(?P<file>\S+)\s+.+: (?P<licence>\S+LICENSE\.txt).*\nsha256\s+(?P<hash>\w{64})$",
    re.MULTILINE,
)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_each_vendored_file_has_its_hash_and_its_licence(place: Path) -> None:
    named = list(NAMED.finditer((place / "VENDORED.txt").read_text(encoding="utf-8")))

    assert {each["file"] for each in named} == {each.name for each in place.glob("*.min.js")}
    for each in named:
        text = (place / each["file"]).read_bytes()
        assert hashlib.sha256(text).hexdigest() == each["hash"], each["file"]
        assert (place / each["licence"]).is_file()
