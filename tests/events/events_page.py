"""Makes docs/reference/events.md of the list of events.

    python tests/events/events_page.py

Run it when an event or one of its facts is added.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.events.event_list import EVENTS, Event

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = Path(__file__).parents[2] / "docs/reference/events.md"

HEAD = """\
<!-- Made by tests/events/events_page.py of src/jobsd/events/event_list.py. -->

# Events

Everything that can happen in a tree has an event with a stable name. An event is a line of the
log: `event` is its name. Its facts stand beside `timestamp`, `level`, `pid`, `process_kind`,
`process_name` and `hostname`, which every line has. A fact with the name of one of these gets
the prefix `its_`: the `pid` of another process is `its_pid`. A poll that finds nothing is not
an event.

A fact that is not known is left out. Durations are seconds, named `duration`, `…_in` or `…_s`.
Sizes of memory are KiB. `error` has `type`, `message` and `stack`. `attempt` counts from 1.

Your own code receives events too, at any log level, in the modules that define jobs or in a
program that enqueues. [Hooks](../guide/hooks.md) says in which process and thread:

```python
from jobsd import on_event


@on_event("job.failed", "process.replaced")
def tell_the_team(event, facts):
    print(event.name, facts)
```
"""


def page(events: Iterable[Event] = EVENTS.values()) -> str:
    """Return the page: a section for each kind of thing, a row for each event."""
    sections: dict[str, list[str]] = {}
    for event in events:
        facts = ", ".join(f"`{fact}`" for fact in event.facts)
        row = f"| `{event.name}` | {event.level} | {event.meaning} | {facts} |"
        sections.setdefault(_section(event), []).append(row)
    return HEAD + "".join(map(_table, sections.items()))


def _section(event: Event) -> str:
    kind = event.name.partition(".")[0]
    together = {
        "jobs": "job",
        "claims": "job",
        "outcomes": "job",
        "slots": "job",
        "queue": "job",
        "everything": "job",
    }
    together |= {"signal": "supervisor", "thread": "hook"}
    together |= {"tree": "web_server", "sources": "web_server"}
    together |= {"embedded": "database", "schema": "database", "web": "http", "audit": "http"}
    return together.get(kind, kind)


def _table(section: tuple[str, list[str]]) -> str:
    head = {
        "supervisor": "The tree",
        "web_server": "Beside a web server",
        "process": "Processes",
        "database": "The database",
        "http": "HTTP and the dashboard",
        "configuration": "Configuration",
        "job": "Jobs and queues",
        "recurring": "Recurring tasks",
        "hook": "Hooks and threads",
        "logs": "The log",
    }[section[0]]
    rows = "\n".join(section[1])
    return f"\n## {head}\n\n| event | level | meaning | facts |\n|-|-|-|-|\n{rows}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
