"""What is needed is there once: a way to store, a harness, a wait loop; no helper is copied."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict

from layout.house import ROOT, files

TESTS = ROOT / "tests"
SHORT = 300
"""A shorter body, as a syntax tree (about three lines), may be the same by chance."""
STARTS_ITS_OWN = ["tests/system/test_log_file.py"]
"""It needs what is printed apart from what is logged."""
SUBSCRIBE = {
    "tests/harness/event_recorder.py",
    "tests/harness/stub_program.py",  # prints events, as a program of its own
    "tests/events/test_events.py",  # what `subscribe` itself does
    "tests/events/test_hooks.py",
    "tests/processes/test_outage.py",  # in a process that it forks
    "tests/scheduler/test_lost_answers.py",  # loses an answer when an event comes
    "tests/worker/test_events.py",  # in which thread an event is emitted
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@functools.cache
def _modules() -> list[tuple[str, ast.Module]]:
    return [
        (str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(TESTS.rglob("*.py"))
    ]


def _calls(node: ast.AST, name: str) -> bool:
    """Return whether something of this name is called somewhere below a node."""
    return any(
        isinstance(call, ast.Call)
        and name in {getattr(call.func, "attr", ""), getattr(call.func, "id", "")}
        for call in ast.walk(node)
    )


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _text(function: Function) -> str:
    """Return the body as a syntax tree, without the docstring."""
    first, *rest = function.body
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return ast.dump(ast.Module(rest if documented else function.body, []))


def test_one_function_waits_until_something_is_so() -> None:
    waiting = [
        f"{path}:{loop.lineno}"
        for path, module in _modules()
        for loop in ast.walk(module)
        if isinstance(loop, ast.While) and _calls(loop, "over") and _calls(module, "Stopwatch")
    ]

    assert [at.partition(":")[0] for at in waiting] == ["tests/waiting.py"], waiting


def test_only_the_harness_starts_and_reads_a_tree() -> None:
    starting: list[str] = []
    for path, module in _modules():
        for call in ast.walk(module):
            if not isinstance(call, ast.Call) or path.startswith("tests/harness/"):
                continue
            called = getattr(call.func, "attr", "")
            if called == "Popen" and "COMMAND" in _names(call) and "start" in ast.dump(call):
                starting.append(path)

    assert starting == STARTS_ITS_OWN


def test_one_class_reads_the_events_of_a_log() -> None:
    reading = [
        path
        for path, module in _modules()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.name == "wait_event"
    ]

    assert reading == ["tests/harness/event_log.py"]


def test_events_are_recorded_by_one_class() -> None:
    subscribing = {path for path, module in _modules() if _calls(module, "subscribe")}

    assert subscribing == SUBSCRIBE


def test_no_helper_is_written_in_two_files() -> None:
    files: dict[str, set[str]] = defaultdict(set)
    for path, module in _modules():
        for node in ast.walk(module):
            if not isinstance(node, Function) or node.name.startswith("test_"):
                continue
            if len(text := _text(node)) >= SHORT:
                files[text].add(f"{path}:{node.lineno} {node.name}")

    copied = [
        sorted(places)
        for places in files.values()
        if len({place.partition(":")[0] for place in places}) > 1
    ]
    assert copied == []


def test_three_statements_store_jobs() -> None:
    """One function stores any jobs; beside it are the plain enqueue and the COPY of a bulk."""
    ours = [
        name for name in files(".sql", ".py") if not name.startswith(("tests/", "benchmarks/"))
    ]
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in ours}
    found = {
        name: len(re.findall(r"(?:INSERT INTO|COPY) jobsd\.jobs\b", text))
        for name, text in texts.items()
    }

    assert {name: count for name, count in found.items() if count} == {
        "src/jobsd/database/migrations/0050_tables/6_store.sql": 1,
        "src/jobsd/enqueueing/bulk.sql": 1,
        "src/jobsd/enqueueing/enqueue.sql": 1,
    }
