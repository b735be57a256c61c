"""A job for recurring tasks, registered once for all tests of this folder."""

from __future__ import annotations

from jobsd.jobs.definition import Job


class RecurringTestJob(Job):
    queue = "mail"
    priority = 3

    def perform(self, *args: object, **kwargs: object) -> None:
        """Do nothing."""
