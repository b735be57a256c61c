"""Where a setting comes from, and whether a variable has a part in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.configuration.flags import Flags
from jobsd.configuration.listed import settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("written", "by_variable"),
    [
        ("[mail, slow]", False),
        ('"${QUEUES:-mail}"', True),
        ('[mail, "${QUEUES:-slow}"]', True),
    ],
)
def test_a_list_with_one_variable_is_of_the_environment(
    tmp_path: Path, written: str, *, by_variable: bool
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/queue.yml").write_text(f"workers: [{{queues: {written}}}]\n")

    rows = {row["setting"]: row for row in settings(tmp_path, {}, Flags())}

    assert rows["workers[0].queues"]["from_environment"] is by_variable
