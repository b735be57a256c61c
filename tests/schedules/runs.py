"""Prints the version of croniter and runs of many crons, in both directions, as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from jobsd.schedules import parse

COLLECTION = Path(__file__).with_name("collection.tsv")
ZONES = ("UTC", "Europe/Berlin", "Australia/Lord_Howe")
INSTANTS = (
    datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC),
    datetime(2028, 3, 10, tzinfo=UTC),
    datetime(2100, 12, 31, 23, 59, 59, tzinfo=UTC),
)
# Steps, ranges and last days, which versions of croniter read or step differently.
CRONS = (
    *("0 0 29 * *", "0 0 30,31 * *", "0 0 1,30 2,3 *", "0 12 29 2 *", "0 0 29 2 mon&"),
    *("0 0 L * *", "0 0 -2 * *", "0 0 15W * *", "0 0 * * fri#-1", "0 0 * * mon%3+1"),
    *("0 0 31 * mon", "0 0 1-7 * mon&", "*/7 22-2 * * fri-mon", "5/15 */5 */9 */5 *"),
    *("0 0 * * 7", "0 0 * * 0-7", "10 30 9 * * *", "*/20 * * * * *", "0 24 * * *"),
    *("59 59 23 31 12 *", "H H * * *", "0~30 8~17 * * 1-5", "0 0 ? * 2"),
)


def crons() -> list[str]:
    """Return these crons, and those that the phrases of the collection mean."""
    lines = COLLECTION.read_text(encoding="utf-8").splitlines()
    ours = {cron for line in lines[1:] for cron in line.split("\t")[2].split(" | ")}
    return [*CRONS, *sorted(ours - {"-", ""})]


def rows() -> dict[str, list[str]]:
    """Return the runs by cron and zone."""
    found: dict[str, list[str]] = {}
    for cron in crons():
        for zone in ZONES:
            schedule = parse(cron, zone, key="runs")
            runs = found[f"{cron} {zone}"] = []
            for instant in INSTANTS:
                runs += (each.isoformat() for each in schedule.upcoming(3, instant))
                runs.append(schedule.previous_at_or_before(instant).isoformat())
    return found


if __name__ == "__main__":
    print(json.dumps([version("croniter"), rows()]))
