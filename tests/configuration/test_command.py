"""`command`: a dotted call with literal arguments, never evaluated."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.recurring.command import Command, CommandError, parse_command

OURS = "jobsd.clear_finished_in_batches"
SEED = "SolidQueue::Job.clear_finished_in_batches"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("app.tasks.cleanup(batch=500)", Command("app.tasks.cleanup", (), {"batch": 500})),
        ("app.cleanup", Command("app.cleanup", (), {})),
        (" app.cleanup() ", Command("app.cleanup", (), {})),
        (
            "a.b(1, -2.5, 'x', None, True, [1, (2,)], {'k': b'v'}, key={1})",
            Command("a.b", (1, -2.5, "x", None, True, [1, (2,)], {"k": b"v"}), {"key": {1}}),
        ),
        (SEED, Command(OURS, (), {})),
        (f"::{SEED}()", Command(OURS, (), {})),
        (
            f"{SEED}(sleep_between_batches: 0.3)",
            Command(OURS, (), {"sleep_between_batches": 0.3}),
        ),
        (
            f'{SEED}(class_name: "a: nil", batch_size: 5, finished_before: nil)',
            Command(
                OURS, (), {"class_name": "a: nil", "batch_size": 5, "finished_before": None}
            ),
        ),
    ],
)
def test_a_call_is_a_name_and_literals(text: str, command: Command) -> None:
    assert parse_command(text) == command


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cleanup()",
        "a.b(c)",
        "a.b(c.d())",
        "a.b(*[1])",
        "a.b(**{})",
        "a.b()()",
        "a.b()[0]",
        "a[0].b()",
        "(lambda: 1)()",
        "a.b(); a.c()",
        "import os",
        "a.b(1 +)",
        "a.b(f'{1}')",
        "a.b(x := 1)",
        "a.b(1j)",
        "a.b(...)",
        "a.b(1e999)",
        "a.b({1: 2})",
        "a.b({[]: 2})",
        "a.b('\\0')",
        "a.b('\\ud800')",
        "a.b(k=1, k=2)",
        "a.b(" + "(" * 300 + ")" * 300 + ")",
        "a.b(" + "-" * 2000 + "1)",
        "a.b('" + "x" * 3000 + "')",
        "SolidQueue::Job.clear_finished_in_batches(finished_before: 1.day.ago)",
        "SolidQueue::Job.clear_finished_in_batches(batch_size: )",
        "SolidQueue::Job.delete_all",
        'HeartbeatLog.where("x > ?", 1.hour.ago)',
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(CommandError) as refused:
        parse_command(text)

    assert refused.value.hint


@given(st.text(alphabet="ab.(){}[]=:,*'\"\\1 \n\t#_-+ñ\0\ud800", max_size=40))
def test_parsing_raises_nothing_but_command_errors(text: str) -> None:
    with contextlib.suppress(CommandError):
        assert parse_command(text).target
