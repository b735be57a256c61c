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

_PLACE = re.compile(
    r"jobsd\.((?:all_)?(?:ready|blocked|parked|scheduled|failed|claimed)_executions)\b"
)
_STATEMENT = re.compile(
    r"^(?=-- [a-z_]+: |CREATE (?:TABLE|VIEW|FUNCTION|TRIGGER) jobsd\.)", re.MULTILINE
)
_WRITES = re.compile(r"\bFOR (?:NO KEY |KEY )?(?:UPDATE|SHARE)\b|INSERT INTO|DELETE FROM")
WRITERS = {
    # Each row is locked, moved or inserted in its table.
    "dispatcher/dispatcher.sql dispatch",
    "src/jobsd/acts/queues.sql clear",
    "src/jobsd/database/migrations/0050_tables/5_unique.sql hold_waiting",
    "src/jobsd/database/migrations/0050_tables/6_store.sql place",
    "src/jobsd/database/migrations/0050_tables/6_store.sql replace_waiting",
    "src/jobsd/database/migrations/0050_tables/9_discards.sql discard_jobs",
    "src/jobsd/database/migrations/0050_tables/9_ends.sql end_jobs",
    "src/jobsd/database/migrations/0050_tables/9_moves.sql move_jobs",
    "src/jobsd/database/migrations/0050_tables/9_places.sql place_jobs",
    "src/jobsd/enqueueing/bulk.sql place",
    "src/jobsd/states/parked.sql set_aside",
    "src/jobsd/testing/stored_queue.sql claim",
}
READERS = {
    # The views themselves.
    "src/jobsd/database/migrations/0050_tables/1_jobs.sql all_blocked_executions",
    "src/jobsd/database/migrations/0050_tables/1_jobs.sql all_ready_executions",
    "src/jobsd/database/migrations/0050_tables/1_jobs.sql places",
    # What they need, a view does not have, or only slowly: their comments say it.
    "src/jobsd/acts/inspect.sql ahead",
    "src/jobsd/acts/queues.sql latency",
    "src/jobsd/database/migrations/0050_tables/5_unique.sql is_due",
    "src/jobsd/database/migrations/0050_tables/5_unique.sql wake_for_held",
    "src/jobsd/operations/depths.sql ready",
    "src/jobsd/states/ready.sql survey",  # on the way of claims
    "supervisor/monitor/emptiness.sql is_left",
    # They read what only these tables have, the error and the number of rows.
    "src/jobsd/acts/listing.sql rows",
    "src/jobsd/operations/depths.sql together",
}
"""The statements that name two or more tables of places: fewer are welcome, more are not."""

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


def _counted(pattern: str) -> dict[str, int]:
    """Return how often a pattern is found in each file of the product that has it."""
    found = {
        name: len(re.findall(pattern, (ROOT / name).read_text(encoding="utf-8")))
        for name in files(".sql", ".py")
        if not name.startswith(("tests/", "benchmarks/"))
    }
    return {name: count for name, count in found.items() if count}


def test_three_statements_store_jobs() -> None:
    """One function stores any jobs; beside it are the plain enqueue and the COPY of a bulk."""
    assert _counted(r"(?:INSERT INTO|COPY) jobsd\.jobs\b") == {
        "src/jobsd/database/migrations/0050_tables/6_store.sql": 1,
        "src/jobsd/enqueueing/bulk.sql": 1,
        "src/jobsd/enqueueing/enqueue.sql": 1,
    }


def test_five_statements_put_jobs_among_the_ready_ones() -> None:
    """One function places any jobs; the others place those that they store, or that are due."""
    assert _counted(r"INSERT INTO jobsd\.ready_executions\b") == {
        "dispatcher/dispatcher.sql": 1,
        "src/jobsd/database/migrations/0050_tables/6_store.sql": 1,
        "src/jobsd/database/migrations/0050_tables/9_places.sql": 1,
        "src/jobsd/enqueueing/bulk.sql": 1,
        "src/jobsd/enqueueing/enqueue.sql": 1,
    }


def _named(statement: str) -> str:
    """Return the name that a statement has in its file, or that of what it creates."""
    found = re.match(r"-- ([a-z_]+): |CREATE \w+ jobsd\.(\w+)", statement)
    return "" if found is None else found[1] or found[2]


def test_one_view_knows_in_which_table_a_job_is() -> None:
    """Statements that lock or write rows name their tables, others have to say why."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for name in files(".sql"):
        if name.startswith(("tests/", "benchmarks/")):
            continue
        for statement in _STATEMENT.split((ROOT / name).read_text(encoding="utf-8")):
            text = re.sub(r"--[^\n]*", "", statement)
            if len(set(_PLACE.findall(text))) > 1:
                found[bool(_WRITES.search(text))].add(f"{name} {_named(statement)}")

    assert found[True] == WRITERS
    assert found[False] == READERS
