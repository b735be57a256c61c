"""The pictures of a terminal show what the commands print today, and load nothing."""

from __future__ import annotations

import re

import pytest

from docs.recordings import FOLDER, TITLES, record


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("recordings") / "shop"
    folder.mkdir()
    return record(folder)


def _words(picture: str) -> set[str]:
    """Return the words of a picture that have no digits: no times and no ids.

    Where the processes of a tree are cut off depends on the width of its host and its pid.
    """
    texts = re.findall(r"<text[^>]*>(.*)</text>", picture)
    plain = " ".join(re.sub(r"<[^>]*>", "", text) for text in texts)
    plain = re.sub(r"1 dispatcher(, \d+ \w+)*", "", plain)
    return set(re.findall(r"(?<!\S)[A-Za-z_.:]{4,}(?!\S)", plain))


@pytest.mark.system
@pytest.mark.parametrize("name", TITLES)
def test_a_picture_shows_the_output_of_today(name: str, recorded: dict[str, str]) -> None:
    shown = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")

    assert _words(shown) ^ _words(recorded[name]) == set()


@pytest.mark.parametrize("name", TITLES)
def test_a_picture_loads_nothing_and_is_in_the_readme(name: str, readme: str) -> None:
    shown = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")

    assert re.findall(r"https?://(?!www\.w3\.org)|url\(|@import|<script|href", shown) == []
    assert f"(docs/images/{name}.svg)" in readme


@pytest.fixture
def readme() -> str:
    return (FOLDER.parents[1] / "README.md").read_text(encoding="utf-8")
