"""Makes docs/reference/settings.md and the shipped config/queue.yml of the table of settings.

python tests/configuration/settings_page.py
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.configuration.example import example_queue_file
from jobsd.configuration.options import SECTIONS, StartOptions
from jobsd.configuration.queue_file import TOP
from jobsd.configuration.setting import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.configuration.setting import Setting

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/settings.md"
QUEUE_FILE = ROOT / "config/queue.yml"

HEAD = """\
<!-- Made by tests/configuration/settings_page.py of src/jobsd/configuration/options.py. -->

# Settings

Every setting of `config/queue.yml`, with what it takes and its default. A flag of `start`
beats its variable, a variable beats the file, and the file beats the default; only
`DATABASE_URL` and `JOBSD_DATABASE_SCHEMA` yield to the file. Durations are seconds, or a number
with a unit: `250ms 30s 10m 2h 1d`. Sizes are bytes, or a number with a unit: `512MB 2GB`. A
list may be written as one text with commas. `bin/jobs check` reports every fault at once. The
[guide](../guide/configuration.md) explains sections, variables in the file, and which settings
belong together.
"""
_SENTENCES = {
    "dispatchers": "A list with one entry for each dispatcher, which makes due jobs ready.",
    "workers": "A list with one entry for each kind of worker.",
    "monitor": "The process that serves metrics and health; `monitor: null` switches HTTP off.",
}


def page() -> str:
    """Return the page: a section for each section of the file, a row for each setting."""
    parts = [HEAD, _table("At the top", "", TOP)]
    for section, options in SECTIONS.items():
        parts.append(_table(f"`{section}:`", _SENTENCES.get(section, ""), settings_of(options)))
    alone = "These have no key in the file."
    parts.append(_table("Flags and variables alone", alone, settings_of(StartOptions)))
    return "\n".join(parts)


def queue_file() -> str:
    """Return the shipped config/queue.yml."""
    return example_queue_file('<%= ENV.fetch("JOB_CONCURRENCY", 1) %>')


def _table(title: str, sentence: str, rows: Iterable[tuple[str, str, Setting[object]]]) -> str:
    head = f"## {title}\n\n" + (f"{sentence}\n\n" if sentence else "")
    lines = ["| setting | takes | default | meaning | flag, variable |", "|-|-|-|-|-|"]
    lines += [_row(key, row) for _, key, row in rows]
    return head + "\n".join(lines) + "\n"


def _row(key: str, row: Setting[object]) -> str:
    given = ", ".join(
        f"`{each}`" for each in (row.flag, row.variable, row.fallback) if each
    ).replace("|", "\\|")
    takes = row.kind.takes
    return f"| `{key}` | {takes} | `{row.default_in_yaml}` | {row.sentence} | {given} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    QUEUE_FILE.write_text(queue_file(), encoding="utf-8")
