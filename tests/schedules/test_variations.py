"""Schedules as people vary them: other words, orders, lists and places for the zone.

None of them is in the collection; each was judged by the rules of docs/reference/schedules.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from jobsd.schedules import ScheduleError, parse

ROWS = [
    line.split("\t")
    for line in Path(__file__)
    .with_name("variations.tsv")
    .read_text(encoding="utf-8")
    .splitlines()
    if not line.startswith("#")
]


def read(phrase: str) -> tuple[str, str]:
    try:
        schedule = parse(phrase)
    except ScheduleError:
        return "-", ""
    return " | ".join(schedule.crons), schedule.time_zone


@pytest.mark.parametrize(("phrase", "crons", "zone"), ROWS, ids=lambda value: value[:40])
def test_a_variation_is_parsed_by_the_rules(phrase: str, crons: str, zone: str) -> None:
    assert read(phrase) == (crons, zone)


@pytest.mark.parametrize("phrase", [row[0] for row in ROWS if row[1] == "-"])
def test_a_refused_variation_hints_at_the_correct_phrase(phrase: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse(phrase)

    assert refused.value.hint
