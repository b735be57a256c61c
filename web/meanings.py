"""The definitions of our terms, so that each page can explain those that it uses."""

import re
from html import unescape

WORDS_HERE = "<!--words-->"
"""Where they come in. What jobs carry is escaped, so none of it can be taken for this."""

MEANINGS = {
    "ready": "waits for a free thread of a worker",
    "claimed": "has been taken by a worker: it runs, or is about to",
    "scheduled": "waits for its time; a dispatcher makes it ready then",
    "blocked": "waits for others with the same concurrency key",
    "failed": "has used up its attempts, and waits for somebody to retry or discard it",
    "finished": "has succeeded",
    "discarded": "was dropped: by hand, or because its definition says so",
    "lost": "is in no table: a defect, or a database that was restored",
    "full": "as many jobs of this key run as may: the others wait",
    "paused": "no worker takes from it",
    "disabled": "no scheduler enqueues its jobs",
    "quiet": "it takes no more jobs, and finishes those that it has",
    "standby": "it only repeats what another server does",
    "outdated": "this program needs newer tables",
    "enqueued": "its job was enqueued in time",
    "missed": "no scheduler ran at its time",
    "skipped": "the run before it had not ended",
    "alive": "its heartbeat is recent",
    "silent": "its heartbeat stands still",
    "gone": "its process has ended",
    "supervisor": "the process that starts, watches and replaces the others on its host",
    "monitor": "the process that sends a tree's heartbeats, and recovers the jobs of the dead",
    "dispatcher": "the process that makes scheduled jobs ready when they are due",
    "scheduler": "the process that enqueues the jobs of recurring tasks",
    "worker": "a process that takes ready jobs and runs them in its threads",
    "tree": "a supervisor with all processes that it has started",
    "heartbeat": "a sign of life: of a process, or a job that proves that everything works",
    "attempt": "one run of a job; it may have several, until one succeeds",
    "priority": "which job goes first in its queue: the lowest number",
    "concurrency key": "jobs with the same one share a limit of how many may run at once",
    "concurrency limit": "how many jobs with the same key may run at once",
    "recurring task": "a job that is enqueued again and again, by a schedule",
    "static": "named by recurring.yml: only that file changes it",
    "dynamic": "made by a command, a program or here, not named by a file",
    "pruned": "its row was removed since it gave no sign for too long",
    "recovered": "given back, or recorded as failed, after its process had died",
    "retry": "to run it once more, with its attempts counted anew",
    "discard": "to drop it: it will never run",
    "cancel": "to ask a running job to stop",
    "enqueue": "to put a job into a queue",
    "class": "what a job runs: the name of its function or class",
    "p50": "half of them took no longer",
    "p95": "95 of 100 took no longer",
}
"""Also what the words mean that stand alone on a page, as the state of something."""

_HIDDEN = re.compile(r"<(script|style|title)\b.*?</\1>|<[^>]*>", re.DOTALL)
_ALONE = re.compile(r"\w+")
_PLURAL = {"priorities": "priority", "classes": "class"}


def text_of(page: str) -> str:
    """Return what can be read on a page, without what stands in its tags."""
    return unescape(_HIDDEN.sub(" ", page))


def words_on(page: str) -> list[str]:
    """Return the words of ours that a page has."""
    text = text_of(page).lower()
    alone = {_PLURAL.get(word, word) for word in _ALONE.findall(text)}
    return [word for word in MEANINGS if not alone.isdisjoint((word, f"{word}s"))] + [
        word for word in MEANINGS if " " in word and re.search(rf"\b{word}s?\b", text)
    ]
