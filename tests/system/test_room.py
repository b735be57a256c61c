"""A room has the clone, wherever that lies, and nothing else of the temporary files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from system.room import room, why_not

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "rooms can be made here")
def test_a_clone_below_the_temporary_files_is_there_and_stays_as_it_is(tmp_path: Path) -> None:
    app, clone, other = (tmp_path / name for name in ("app", "clone", "other"))
    for folder in (app, clone, other):
        folder.mkdir()
    (clone / "program").write_text("echo it runs\n", encoding="utf-8")
    tries = f"sh {clone}/program; ls {other}; touch {clone}/new; touch /app/new"

    with room(f"sh -c '{tries}'", app, os.environ, clone=clone) as made:
        made.wait(30)
        printed = made.printed

    assert printed.startswith("it runs\n")
    assert f"'{other}': No such file" in printed
    assert ((clone / "new").exists(), (app / "new").exists()) == (False, True)
