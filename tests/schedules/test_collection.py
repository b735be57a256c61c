"""The schedules that Solid Queue's parser was asked about, and our answers to them.

Each row of collection.tsv has the phrase, what the original makes of it, what we make of
it, and the rule of docs/reference/schedules.md where the two differ.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from jobsd.schedules import ScheduleError, parse
from jobsd.schedules.cron_parser import parse_cron_expression

COLLECTION = Path(__file__).with_name("collection.tsv")
DOCS = Path(__file__).parents[2] / "docs/reference/schedules.md"


class Row(NamedTuple):
    phrase: str
    original: str
    ours: str
    time_zone: str
    rule: str


ROWS = [
    Row(*line.split("\t"))
    for line in COLLECTION.read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
DIFFERENT = [row for row in ROWS if row.rule]


def ours(phrase: str) -> tuple[str, str]:
    try:
        schedule = parse(phrase, key="collection")
    except ScheduleError:
        return "-", ""
    return " | ".join(schedule.crons), schedule.time_zone


def values(cron: str) -> object:
    """Return what a cron allows, however it is written."""
    if cron == "-" or "|" in cron:
        return cron
    read = parse_cron_expression(cron, "collection")[0]
    fields = (read.seconds, read.minutes, read.hours, read.months)
    days = (str(read.month_days), str(read.week_days), read.both_days)
    return [sorted(field.values) for field in fields], days


def test_every_phrase_of_the_collection_is_parsed_as_noted() -> None:
    wrong = [row for row in ROWS if ours(row.phrase) != (row.ours, row.time_zone)]

    assert not wrong


def test_without_a_noted_rule_we_agree_with_the_original() -> None:
    wrong = [row for row in ROWS if not row.rule and values(row.original) != values(row.ours)]

    assert not wrong


def test_the_collection_differs_only_by_rules_of_the_docs() -> None:
    documented = DOCS.read_text(encoding="utf-8")

    undocumented = {row.rule for row in DIFFERENT if f"`{row.rule}`" not in documented}

    assert not undocumented


@pytest.mark.parametrize("row", DIFFERENT, ids=lambda row: row.phrase[:40])
def test_a_rule_fits_its_class(row: Row) -> None:
    refused, accepted = row.ours == "-", row.original == "-"

    assert {"a": refused, "b": not (refused or accepted), "c": accepted}[row.rule[0]]


def test_four_phrases_in_five_mean_the_same() -> None:
    count = Counter(bool(row.rule) for row in ROWS)

    assert count[False] > 3 * count[True]
