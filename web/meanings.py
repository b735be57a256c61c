"""The definitions of our terms; each page explains the terms on it."""

import re
from html import unescape

WORDS_HERE = "<!--words-->"
"""Their position in a page. Data of jobs is escaped, so it can't contain this comment."""

MEANINGS = {
    "ready": "waits for a free thread of a worker",
    "claimed": "has been claimed by a worker: it runs, or starts soon",
    "scheduled": "waits for its time; a dispatcher makes it ready then",
    "blocked": "waits until other jobs with the same concurrency key have ended",
    "failed": "has used up its attempts, and stays until a person retries or discards it",
    "finished": "has succeeded",
    "discarded": "was dropped: by hand, or because its definition says so",
    "lost": "is in no table, because of a defect or a restored database",
    "full": "the limit of this key is reached: its other jobs wait",
    "paused": "no worker claims jobs from it",
    "disabled": "no scheduler enqueues its jobs",
    "quiet": "it claims no more jobs, and finishes those that it has",
    "standby": "a copy of another server that can't be changed",
    "outdated": "the tables are older than this program needs",
    "enqueued": "its job was enqueued on time",
    "missed": "no scheduler ran at its planned time",
    "skipped": "the previous run had not ended",
    "alive": "its heartbeat is recent",
    "silent": "its heartbeat has stopped",
    "gone": "its process has ended",
    "supervisor": "the process that starts, watches and replaces the others on its host",
    "monitor": "the process that writes a tree's heartbeats and recovers the jobs of dead ones",
    "dispatcher": "the process that makes scheduled jobs ready when they are due",
    "scheduler": "the process that enqueues the jobs of recurring tasks",
    "worker": "a process that claims ready jobs and runs them in its threads",
    "tree": "a supervisor and all processes that it has started",
    "heartbeat": "a sign of life: of a process, or by a job that shows that everything works",
    "attempt": "one run of a job; a job may have several, until one succeeds",
    "priority": "the order of jobs in a queue: the lowest number runs first",
    "concurrency key": "jobs with the same key share a limit of how many may run at once",
    "concurrency limit": "how many jobs with the same key may run at once",
    "recurring task": "a job that is enqueued again and again, by a schedule",
    "static": "defined in recurring.yml or in the code, and changed only there",
    "dynamic": "added by a command, by a program or here, and not defined in a file",
    "pruned": "its row was deleted because its heartbeat had stopped for too long",
    "recovered": "released, or recorded as failed, after its process had died",
    "retry": "to make a failed job ready again, with all its attempts",
    "discard": "to drop a job, which then never runs",
    "cancel": "to stop a running job, or to discard a waiting one",
    "enqueue": "to put a job into a queue",
    "class": "what a job runs: the name of its function or class",
    "p50": "half of them took no longer",
    "p95": "95 of 100 took no longer",
}
"""Also the meanings of words that stand alone on a page, as a state."""

_HIDDEN = re.compile(r"<(script|style|title)\b.*?</\1>|<[^>]*>", re.DOTALL)
_ALONE = re.compile(r"\w+")
_PLURAL = {"priorities": "priority", "classes": "class"}


def text_of(page: str) -> str:
    """Return the visible text of a page, without its tags."""
    return unescape(_HIDDEN.sub(" ", page))


def words_on(page: str) -> list[str]:
    """Return our terms on a page."""
    text = text_of(page).lower()
    alone = {_PLURAL.get(word, word) for word in _ALONE.findall(text)}
    return [word for word in MEANINGS if not alone.isdisjoint((word, f"{word}s"))] + [
        word for word in MEANINGS if " " in word and re.search(rf"\b{word}s?\b", text)
    ]
