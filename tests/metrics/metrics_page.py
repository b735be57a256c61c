"""Makes docs/reference/metrics.md of an exposition that has every metric.

    python tests/metrics/metrics_page.py

Run it when a metric or one of its labels is added.
"""

from __future__ import annotations

import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from jobsd.metrics.metrics import exposition
from metrics.test_metrics import DATABASE, TREE

PAGE = Path(__file__).parents[2] / "docs/reference/metrics.md"

HEAD = """\
<!-- Made by tests/metrics/metrics_page.py of src/jobsd/metrics/metrics.py. -->

# Metrics

The monitor's `/metrics` and the command `jobsd metrics` report these metrics. The figures of
queues, tasks and tables come from the database, so all trees on one database report the same:
take their maximum (`max by (queue) (…)`). Counters, histograms, threads and memory belong to
one tree: add them up.

A scrape costs the workers nothing: it reads shared memory, and queries the database at most
once in five seconds. Ready jobs are counted one by one, never estimated: a million of them
take a quarter of a second of the server's processor, which its parallel workers share if it has
any. From three million on, a million of each queue are counted at most. Figures
that took long to read are reported for twenty times as long. A tree counts 1,024 queues, 500
classes and 256 types of errors by name, and all others as `*other*`. It reports at most 10,000
queues, tasks and processes of a database.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def page() -> str:
    """Return the page: a row for each metric."""
    body, _ = exposition(TREE, DATABASE)
    rows: list[str] = []
    for family in text_string_to_metric_families(body.decode()):
        labels = {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        suffix = "_total" if family.type == "counter" else ""
        named = ", ".join(f"`{label}`" for label in sorted(labels))
        name = f"`{family.name}{suffix}`"
        rows.append(f"| {name} | {family.type} | {named} | {family.documentation} |\n")
    return HEAD + "".join(sorted(rows))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
