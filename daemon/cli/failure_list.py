"""The groups of failed jobs as a table for people."""

from jobsd.daemon.values import brief_moment, number, plain

from .table import Column


def _unquoted(value: object) -> str:
    return plain(value) or "-"


COLUMNS = (
    Column("class_name", "CLASS"),
    Column("error_type", "ERROR"),
    Column("jobs", right=True),
    Column("first_failed_at", "FIRST FAILED", rank=5, brief=brief_moment),
    Column("last_failed_at", "LAST FAILED", rank=2, brief=brief_moment),
    Column("last_id", "LAST JOB", rank=3, show=number, right=True),
    Column("message", rank=4, show=_unquoted, cuts=True),
)
