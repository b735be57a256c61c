"""The list of the states of a job."""

UNFINISHED = ("ready", "scheduled", "blocked", "claimed", "failed")
"""The states of a job that has neither finished nor was discarded."""

STATES = (
    *("scheduled", "ready", "blocked", "claimed", "failed", "finished", "discarded"),
    "lost",
)
"""All of them; "lost" is a job that is in no table: a defect, or a restored database."""
