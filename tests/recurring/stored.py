"""Recurring tasks as they are stored."""

from __future__ import annotations

from jobsd.recurring.tasks import RecurringTask


def task_of(key: str) -> RecurringTask:
    """Return the task of this key; there is one."""
    task = RecurringTask.find_by(key=key)
    assert task is not None
    return task
