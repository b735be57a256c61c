"""What is refused on every way to a job: each test of a way goes through the same tables."""

QUEUES = [
    *("", "q" * 256, "ü" * 128),
    *("a\tb", "a\nb", " a", "a ", "a*", "a,b"),
    *("a\xa0", "a\u200bb", "\u3000a"),
]
"""Texts that name no queue: in Python, SQL, recurring tasks, acts and on the command line."""

FILTERS = [
    ["--state", "gone"],
    ["--queue", "q" * 300],
    ["--queue", "a*"],
    ["--class", ""],
    ["--limit", "0"],
    ["--since", "soon"],
    ["--since", "-1"],
    ["--queue", "a", "--queue", "b"],
    ["--state", "failed", "--state", "ready"],
    ["--since", "1h", "--since", "2h"],
    ["-n", "1", "--limit", "2"],
]
"""Options of the commands that list and change jobs which can mean nothing."""
