"""The pages of the reference that are made of the program are up to date."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import jobsd
from docs import api_page, commands_page, http_page
from jobsd.operations import health
from metrics import metrics_page

MONITORING = Path(__file__).parents[2] / "docs/guide/monitoring.md"


def test_the_page_of_the_commands_is_up_to_date() -> None:
    made = commands_page.page()

    assert commands_page.PAGE.read_text(encoding="utf-8") == made, (
        "run .venv/bin/python tests/docs/commands_page.py"
    )


def test_the_page_of_the_python_api_is_up_to_date() -> None:
    made = api_page.page()

    assert api_page.PAGE.read_text(encoding="utf-8") == made, (
        "run .venv/bin/python tests/docs/api_page.py"
    )


def test_the_page_of_the_http_interface_is_up_to_date() -> None:
    made = http_page.page()

    assert http_page.PAGE.read_text(encoding="utf-8") == made, (
        "run .venv/bin/python tests/docs/http_page.py"
    )


def test_the_page_of_the_metrics_is_up_to_date() -> None:
    made = metrics_page.page()

    assert metrics_page.PAGE.read_text(encoding="utf-8") == made, (
        "run .venv/bin/python tests/metrics/metrics_page.py"
    )


def test_the_findings_of_the_health_are_explained_with_their_severity() -> None:
    page = MONITORING.read_text(encoding="utf-8")

    assert re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE) == list(
        health.SEVERITIES.items()
    )


def test_the_page_of_the_python_api_has_every_public_name_once() -> None:
    named = Counter(" ".join(api_page.CHAPTERS.values()).split())

    assert named == Counter(jobsd.__all__)
