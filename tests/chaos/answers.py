"""Checks what is promised of jobs that are waited for, asked for again, and written down.

- Who waits for a job hears how it has ended, and what it returned; nobody waits for ever.
- What a job has returned is kept if and only if it has finished.
- Of a job that is replaced while it waits, what was asked for last is what it runs with.
- Within its time no second job of a key is stored, and afterwards one is.
- What an attempt has printed is kept with that job, and goes with it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from chaos.asked_jobs import WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.askers import Answer, Ask
    from chaos.evidence import Evidence, StoredJob

SLACK_S = 0.1
"""The server's clock and ours are compared."""
_SAID = re.compile(r"said (\d+)\.")


def answered_wrongly(evidence: Evidence) -> Iterator[str]:
    """Yield what was heard, or is kept, of jobs that have ended otherwise."""
    jobs = {job.id: job for job in evidence.jobs}
    for answer in evidence.answers:
        job = jobs.get(answer.job_id)
        if job is None:
            yield f"{answer}: there is no such job"
        elif not _is_so(answer, job, by_hand=answer.job_id in evidence.touched):
            yield f"{answer}: {job}"
    for job in evidence.jobs:
        if job.class_name != "chaos.replying":
            continue
        kept = evidence.results.get(job.id)
        if job.outcome == "finished" and kept != {"n": job.n}:
            yield f"{job} has finished, and its result is {kept}"
        if kept is not None and job.outcome not in {"finished", "erased"}:
            yield f"{job} has not finished, and its result is {kept}"


def _is_so(answer: Answer, job: StoredJob, *, by_hand: bool) -> bool:
    if answer.word == "unanswered":
        # One that nobody has performed is another fault: stuck.
        return job.outcome is None and job.error is None
    if answer.word == "finished":
        return answer.result == {"n": job.n} and job.outcome in {"finished", "erased"}
    if answer.word == "failed":
        return by_hand or job.error == answer.result
    if answer.word == "discarded":
        return job.outcome in {"discarded", "erased"}
    # Gone: but the end of a job that keeps its result is kept, whatever goes with its row.
    return False


def replaced_wrongly(evidence: Evidence) -> Iterator[str]:
    """Yield the jobs that were stored, or have run, with other than what was asked for last."""
    jobs = {job.id: job for job in evidence.jobs}
    asks = [ask for ask in evidence.asks if ask.kind == "chaos.latest"]
    for ask, maybe in _lasts(asks):
        job = jobs.get(ask.job_id or 0)
        if job is None:
            yield f"{ask}: there is no such job"
        elif job.n not in {ask.n, *maybe}:
            yield f"{ask}, or {maybe}: {job}"
    for run in evidence.runs:
        if run.key.startswith("chaos.latest/") and run.n != jobs[run.job_id].n:
            yield f"{run}: {jobs[run.job_id]}"


def _lasts(asks: list[Ask]) -> Iterator[tuple[Ask, list[int]]]:
    """Yield what was asked for last of each job, with what may be behind it."""
    by_key: defaultdict[str, list[Ask]] = defaultdict(list)
    for ask in asks:
        by_key[ask.key].append(ask)
    for one in by_key.values():
        for number, ask in enumerate(one):
            if ask.job_id is None:
                continue
            maybe: list[int] = []
            for later in one[number + 1 :]:
                if later.job_id is not None:
                    break
                maybe += [later.n] if later.state == "unknown" else []
            following = next((a for a in one[number + 1 :] if a.job_id is not None), None)
            if following is None or following.job_id != ask.job_id:
                yield ask, maybe


def kept_out_wrongly(evidence: Evidence) -> Iterator[str]:
    """Yield the jobs that were stored too early behind another, or were kept out too long."""
    before: dict[str, Ask] = {}
    for ask in evidence.asks:
        if ask.kind != "chaos.rare" or ask.state == "absent":
            continue
        last = before.get(ask.key)
        if ask.state == "unknown":
            before.pop(ask.key, None)
        elif ask.state == "new":
            if last is not None and ask.ended - last.began < WITHIN_S - SLACK_S:
                yield f"{ask} is stored within the time of {last}"
            before[ask.key] = ask
        elif last is not None and not _may_keep_out(last, ask):
            yield f"{ask} is kept out, and {last} was before it"


def _may_keep_out(last: Ask, ask: Ask) -> bool:
    return ask.job_id == last.job_id and ask.began - last.ended <= WITHIN_S + SLACK_S


def logged_wrongly(evidence: Evidence) -> Iterator[str]:
    """Yield the logs that say what another job has printed, or that nobody's job has left."""
    jobs = {job.id: job for job in evidence.jobs if job.outcome != "erased"}
    for job_id, log in evidence.logs:
        job = jobs.get(job_id)
        if job is None:
            yield f"of job {job_id}, which is gone: {log!r:.100}"
        elif others := {number for number in _SAID.findall(log) if int(number) != job.n}:
            yield f"{job}: it has said {others}"
