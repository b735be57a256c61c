"""Makes docs/reference/variables.md of the table of variables.

python tests/configuration/variables_page.py
"""

from __future__ import annotations

from pathlib import Path

from jobsd.configuration.variables import variables

PAGE = Path(__file__).parents[2] / "docs/reference/variables.md"

HEAD = """\
<!-- Made by tests/configuration/variables_page.py of src/jobsd/configuration/variables.py. -->

# Variables

Every variable of the environment that jobsd reads; `bin/jobs help variables` prints them, too.
An empty variable counts as not set. A variable that switches something is `1`, `true`, `yes` or
`on`, or `0`, `false`, `no` or `off`; any other value is a fault. The [settings](settings.md)
say what each value may be. A variable beats the file, and a flag beats the variable; only
`DATABASE_URL` yields to the file.

| variable | |
|-|-|
"""


def page() -> str:
    """Return the page: a row for each variable."""
    return HEAD + "".join(f"| `{name}` | {does} |\n" for name, does in variables())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
