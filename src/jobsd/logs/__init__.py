"""Log lines: from a job's print or an event to a line of JSON, redacted and written.

Events themselves lie in `events`; the log that is kept for a job is `capture`.
"""
