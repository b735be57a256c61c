"""Makes the shipped queue.yml, and the one that `init` writes, from the table of settings.

A setting with its default is a comment in it.
"""

from collections.abc import Iterator, Mapping, Sequence

from . import options, queue_file, setting

_HEAD = """\
# What runs here. `bin/jobs check` reads this file and reports every fault at once.
#
# `default:` is the base of every environment. The section that JOBSD_ENV names overlays it:
# mappings are merged key by key, lists are replaced. A value may come from a variable:
#   <%= ENV.fetch("NAME", value) %>    <%= ENV["NAME"] %>    ${NAME:-value}
# Durations are seconds, or 250ms 30s 10m 2h 1d; sizes are bytes, or 512MB 2GB.
# Every key has a default; all of them are shown below.
default:
"""
_SET = {
    "dispatchers": ("polling_interval", "batch_size"),
    "workers": ("queues", "threads", "processes", "polling_interval"),
}
_COLUMN = 34


def example_queue_file(processes: str, modules: Sequence[str] = ()) -> str:
    """Return the text of a queue.yml; `processes` is the number for each kind of worker.

    `modules` define the project's jobs.
    """
    shown = {"processes": processes, "import": f"[{', '.join(modules or ('app.jobs',))}]"}
    lines = [
        _line("  " if modules and key == "import" else "  # ", key, row, shown)
        for _, key, row in queue_file.TOP
    ]
    for section in sorted(options.SECTIONS, key=lambda section: section not in _SET):
        lines += ["", *_section(section, shown)]
    return _HEAD + "\n".join(lines) + "\n"


def _section(section: str, shown: Mapping[str, str]) -> Iterator[str]:
    keys = _SET.get(section, ())
    yield f"  {section}:" if keys else f"  # {section}:"
    for place, (_, key, row) in enumerate(setting.settings_of(options.SECTIONS[section])):
        if not keys:
            prefix = "  #   "
        elif key in keys:
            prefix = "      " if place else "    - "
        else:
            prefix = "      # "
        yield _line(prefix, key, row, shown)


def _line(prefix: str, key: str, row: setting.Setting[object], shown: Mapping[str, str]) -> str:
    text = f"{prefix}{key}: {shown.get(key, row.default_in_yaml)}"
    return f"{text:<{_COLUMN}}  # {row.sentence}"
