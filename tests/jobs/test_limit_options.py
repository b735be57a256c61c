"""A limit that can not be meant is refused where it is written."""

from __future__ import annotations

from typing import Any, cast

import pytest

from jobsd.errors import Error
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"to": 0}, "to=0 is not a whole number of at least 1"),
        ({"to": 1.5}, r"to=1\.5 is not a whole"),
        ({"to": True}, "to=True is not a whole"),
        ({"on_conflict": "wait"}, "on_conflict='wait': one of block, discard is wanted"),
        ({"to": 2**31}, "to=2147483648 is not a whole"),
        ({"duration": "soon"}, "duration: 'soon' is not a duration"),
        ({"duration": -1}, "duration: -1 is not a duration"),
        ({"duration": 1e300}, "duration: .* longer than a hundred years"),
        ({"duration": 10**400}, "duration: 1000.* is not a duration"),
        ({"group": 7}, "group=7 is not a valid key"),
        ({"group": "a\0b"}, "group='a.x00b' is not a valid key of limits_concurrency"),
        ({"group": "g" * 1001}, "at most 1000 bytes"),
    ],
)
def test_an_impossible_limit_is_refused(options: dict[str, Any], reported: str) -> None:
    with pytest.raises(Error, match=reported):
        Limit(**options)


def test_an_object_that_is_no_limit_is_refused() -> None:
    with pytest.raises(Error, match=r"limits_concurrency: 1 is not a limit; write Limit"):
        job(limits_concurrency=cast("Any", 1))(lambda: None)
