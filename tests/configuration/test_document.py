"""YAML that is broken, hostile or unusual."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import yaml

from jobsd.configuration import document
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import examine

if TYPE_CHECKING:
    from configuration.project import Project


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("workers:\n\t- threads: 3\n", "a tab can't indent YAML", "2:1"),
        ("time_zone: @utc\n", "a value can't begin with @", "1:12"),
        ("time_zone: %utc\n", "a value can't begin with %", "1:12"),
        ('time_zone: "UTC\nworkers: []\n', "this quote is never closed", "1:12"),
        ("time_zone: 'UTC\n---\n", "this quote is never closed", "1:12"),
        ("time_zone: UTC: x\n", "a colon can't stand here", "1:15"),
        ("task: x\n  schedule: every: 90m\n", "a colon can't stand here", "2:11"),
        ("time_zone: UTC\nworkers\njobs: {}\n", "a colon is missing after this key", "2:1"),
        ("import: [a, b\njobs: {}\n", 'this "[" is not closed', "1:9"),
        ("import: [a, b\n", 'this "[" is not closed', "1:9"),
        ("jobs: {a: b\nimport: []\n", 'this "{" is not closed', "1:7"),
        (
            "jobs:\n    a: b\n  c: d\n",
            "this line fits neither the mapping above it nor another one",
            "3:3",
        ),
        (
            "import:\n  - a\n  b: c\n",
            "this line fits neither the list above it nor anything else",
            "3:3",
        ),
        ('time_zone: "a\\qb"\n', "there is no such escape", "1:15"),
        ("time_zone: *zone\n", '"*zone" refers to no "&zone" above it', "1:12"),
        ("a: &a [*a]\n", '"*a" refers to no "&a" above it', "1:8"),
        ("time_zone: UTC\n---\njobs: {}\n", "a second document begins here", "2:1"),
        ("? [a]\n: b\n", "a key must be a word, not a list or a mapping", "1:3"),
        ("workers: []\nworkers: []\n", '"workers" is given twice', "2:1"),
        ("<<: 1\nworkers: [{}]\n", '"<<" must hold a mapping, or a list of mappings', "1:1"),
        ("time_zone: !!int 3\n", 'the tag "tag:yaml.org,2002:int" is not allowed', "1:12"),
        (
            "jobs: !!python/object:os.system {}\n",
            'the tag "tag:yaml.org,2002:python/object:os.system" is not allowed',
            "1:7",
        ),
        ("jobs: !ruby/object {}\n", 'the tag "!ruby/object" is not allowed', "1:7"),
        ("time_zone: \x07\n", "this character can't stand in YAML", "1:12"),
        ('time_zone: "\\0"\nimport: 1a\n', "a text can't hold a NUL character", "1:12"),
    ],
)
def test_a_fault_of_yaml_is_reported_at_its_place(
    project: Project, text: str, message: str, place: str
) -> None:
    project.write("config/queue.yml", text)

    fault = project.faults()[0]

    assert (fault.message, fault.source) == (message, f"config/queue.yml:{place}")


def test_both_parsers_place_values_alike(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.queue("""
        default: &d
          workers:
            - &w {queues: "<%= ENV["Q"] %>", threads: ${T:-x}}
            - <<: *w
              queues: |
                a*b
              polling_interval: !!str   0
          time_zone: 'No
            where'
    """)
    quick = project.faults()
    monkeypatch.setattr(document, "_QUICK", yaml.SafeLoader)

    assert project.faults() == quick
    assert len(quick) == 5


@pytest.mark.failure(
    "A file of configuration with a billion laughs: aliases of aliases.",
    "It is refused at once, at its place.",
)
def test_an_exponential_file_is_refused_at_once(project: Project) -> None:
    lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20)]
    project.queue("a0: &a0 [x]\n" + "\n".join(lines))

    assert "more than 250,000 values" in project.fault().message


def test_an_exponential_merge_is_refused_at_once(project: Project) -> None:
    lines = [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 20)]
    project.queue("a0: &a0 {x: y}\n" + "\n".join(lines))

    assert "more than 250,000 values" in project.fault().message


@pytest.mark.parametrize(
    "text",
    [
        "[" * 500_000,
        "{a: " * 200_000,
        "- " * 400_000,
        "a: &a [x]\n" + "\n".join(f"a{i}: &a{i} [*a{i or ''}]" for i in range(5)),
        "a0: &a0 [x]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 50)),
    ],
    ids=["lists", "mappings", "dashes", "undefined", "aliases"],
)
def test_a_deep_file_is_refused_at_once(project: Project, text: str) -> None:
    project.write("config/queue.yml", text)

    assert project.faults()[0].message


def test_depth_counts_through_aliases(project: Project) -> None:
    chain = "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 50))
    project.queue(f"a0: &a0 [x]\n{chain}\n")

    assert project.fault().message == "values are nested more than 32 deep"


@pytest.mark.parametrize(
    "text",
    [
        "<%" * 500_000,
        "${A:-" * 200_000,
        "<%= ENV['A'] %>" * 65_000,
        "a: 1\n" * 200_000,
        "".join(f"{i:x}: 1\n" for i in range(100_000)),
        "".join(f"t{i:x}: {{q: 1}}\n" for i in range(50_000)),
        "<<: {a: 1}\n" * 90_000,
        "time_zone: '" + "://a:" * 200_000 + "'",
        "monitor: {bind: '[" + "a" * 1_000_000 + "'}",
        '"' + "\\n" * 500_000,
        "a: !" + "x" * 1_000_000,
        "x" * 1_000_000 + ": 1",
        "? " + "x" * 1_000_000 + "\n: 1",
        "workers: [{threads: " + "9" * 1_000_000 + "}]",
        "workers: [{polling_interval: " + "9" * 1_000_000 + "}]",
        "workers: [" + "{threads: 0}," * 80_000 + "]",
    ],
    ids=range(16),
)
def test_a_hostile_file_is_read_in_time(project: Project, text: str) -> None:
    project.write("config/queue.yml", text)
    began = time.process_time()

    assert examine(project.root, {"A": "x"}, Flags()).faults
    assert time.process_time() - began < 20


def test_ten_thousand_tasks_are_read(project: Project) -> None:
    tasks = [f"t{i}: {{class: A, schedule: '{i % 60} {i % 24} * * *'}}" for i in range(10_000)]
    project.recurring("\n".join(tasks))

    assert len(project.load().tasks) == 10_000


def test_an_anchor_may_stand_before_a_tag(project: Project) -> None:
    project.write("config/queue.yml", "&a !!str time_zone: &z !!str Asia/Tokyo\n")

    assert project.load().time_zone == "Asia/Tokyo"
