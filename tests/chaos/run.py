"""One chaos run, from the first tree to the verdict."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import tempfile
import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

import jobsd
from chaos.askers import Askers
from chaos.auditor import Auditor
from chaos.checker import figures
from chaos.enqueuers import Enqueuers
from chaos.evidence import Evidence, gather, runs_of
from chaos.excuses import Excuses
from chaos.grounds import Database, database, place
from chaos.operators import Operator
from chaos.troubles import Hand, draw
from chaos.watch import Watch, started
from jobsd.clock import monotonic
from kept import thawed

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_S = 0.02
_HUNG_S = 7.0
"""What others wait for at least: the least `hang_timeout`, and the end of what hangs."""
# The events that say why a process ended, and where they say which. The end of a worker that
# was one too many is only told by who recovers its jobs.
_ENDS = {
    "process.exited": "its_pid",
    "process.killed": "its_pid",
    "process.replaced": "predecessor_pid",
    "process.recovered": "child_pid",
}


@dataclass(frozen=True, slots=True)
class Requests:
    """What kind of run is wanted."""

    seconds: float
    seed: int
    rate: float = 60.0
    pace_s: float = 0.7
    threshold_s: float = 3.0
    drain_s: float = 90.0
    url: str | None = None
    only: str = ""
    keep: Path | None = None
    """Where logs and evidence are left; without it only those of a run with faults stay."""


@dataclass(slots=True)
class Result:
    """What was done and what was found."""

    requests: Requests
    troubles: dict[str, int] = field(default_factory=dict[str, int])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    faults: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    folder: str = ""

    @property
    def good(self) -> bool:
        """Whether every figure is 0."""
        return not any(self.faults.values())


def untold(_phase: str, _share: float) -> None:
    """Tell nobody how far a run is."""


def run(requests: Requests, progress: Callable[[str, float], None] = untold) -> Result:
    """Do a chaos run; `progress` is told the phase and how much of it is over, 0 to 1."""
    root = Path(tempfile.mkdtemp(prefix="jobsd-chaos-"))
    root.chmod(0o755)
    thawed(root)
    progress("start", 0.0)
    with database(requests.url) as base:
        chaos = _Chaos(requests, root, base)
        try:
            result = chaos.run(progress)
        finally:
            chaos.end()
            chaos.write_logs()
    if requests.keep is not None:
        shutil.copytree(root, requests.keep, dirs_exist_ok=True)
    if result.good or requests.keep is not None:
        shutil.rmtree(root)
    result.folder = str(requests.keep or ("" if result.good else root))
    return result


class _Chaos:
    """The parts of one run."""

    def __init__(self, requests: Requests, root: Path, base: Database) -> None:
        self._requests = requests
        self._root = root
        self._base = base
        self._watch = Watch()
        self._places = [
            place(name, root, base.url, self._watch, requests.threshold_s) for name in "ab"
        ]
        self._hand = Hand(self._places, base, self._watch, max(requests.threshold_s, _HUNG_S))
        self._auditor = Auditor(base)
        self._enqueuers = Enqueuers(base.url, requests.rate, requests.seed)
        self._askers = Askers(requests.seed)
        self._operator = Operator(base, requests.seed)
        self._pause = threading.Event()

    def run(self, progress: Callable[[str, float], None]) -> Result:
        (self._root / "ledger").touch()
        self._watch.start()
        for each in self._places:
            each.start()
        for each in self._places:
            each.tree.wait_event("supervisor.ready")
        jobsd.configure(self._base.url)
        self._auditor.start(0.5)
        self._enqueuers.start()
        self._askers.start()
        self._operator.start()
        self._trouble(progress)
        self._enqueuers.end()
        self._askers.stop()
        self._operator.end()
        drained_s = self._drain(progress)
        self._askers.join()
        remains = self._stop_trees()
        self._auditor.end()
        with contextlib.suppress(psycopg.Error):
            self._auditor.check()
        evidence = self._evidence(remains)
        reported = json.dumps(asdict(evidence), default=sorted)
        (self._root / "evidence.json").write_text(reported, encoding="utf-8")
        return Result(
            self._requests,
            dict(sorted(self._hand.done.items())),
            self._counts(evidence) | {"seconds to drain": round(drained_s)},
            figures(evidence),
        )

    def _trouble(self, progress: Callable[[str, float], None]) -> None:
        requests, began = self._requests, monotonic()
        own = self._base.own is not None
        one = draw(requests.seed, own_server=own, pace_s=requests.pace_s, only=requests.only)
        due = began
        while (now := monotonic()) < began + requests.seconds:
            self._hand.repair()
            if now >= due:
                trouble = one()
                self._hand.make(trouble)
                due = monotonic() + trouble.rest_s
            progress("troubles", (now - began) / requests.seconds)
            self._pause.wait(STEP_S)
        while self._hand.repairs:
            self._hand.repair(everything=True)

    def _drain(self, progress: Callable[[str, float], None]) -> float:
        """Wait until nothing is left to be done; return how long that took in seconds."""
        began, empty = monotonic(), 0
        ours = "class_name <> 'chaos.tick' AND outcome IS NULL"
        failed = "id NOT IN (SELECT job_id FROM jobsd.failed_executions)"
        query = f"SELECT count(*) FROM jobsd.jobs WHERE {ours} AND {failed}"
        while empty < 2 and monotonic() < began + self._requests.drain_s:
            self._hand.repair()
            with contextlib.suppress(psycopg.Error):
                idle = self._base.ask(query) == [(0,)] and not self._rows_of_dead()
                empty = empty + 1 if idle else 0
            progress("drain", (monotonic() - began) / self._requests.drain_s)
            self._pause.wait(0.1)
        return monotonic() - began

    def _rows_of_dead(self) -> bool:
        """Return whether a process has ended that others will prune, but have not yet."""
        rows = self._base.ask("SELECT pid FROM jobsd.processes")
        return any(not started(pid) for (pid,) in rows)

    def _stop_trees(self) -> list[str]:
        """Stop the trees in order; return what they have left behind."""
        for each in self._places:
            self._watch.note(each.label, 0, "TERM")
            each.tree.process.terminate()
        for each in self._places:
            with contextlib.suppress(Exception):
                each.tree.process.wait(20)
        self._watch.end()
        self._watch.check()
        alive = [
            f"process {pid} of {s.tree}"
            for pid, s in self._watch.sightings.items()
            if not s.ended
        ]
        rows = self._base.ask("SELECT kind, name, pid FROM jobsd.processes ORDER BY id")
        return [*alive, *(f"row of {kind} {name}, pid {pid}" for kind, name, pid in rows)]

    def end(self) -> None:
        """Kill what is left, whatever has happened."""
        self._enqueuers.over.set()
        self._askers.stop()
        with contextlib.suppress(Exception):
            for _, mend in self._hand.repairs:
                mend()
        self._watch.end()
        for each in self._places:
            for tree in each.trees:
                tree.end()

    def write_logs(self) -> None:
        """Leave what the trees have told beside the ledger."""
        for each in self._places:
            for number, tree in enumerate(each.trees, 1):
                path = self._root / f"{each.name}{number}.log"
                path.write_text("\n".join(tree.lines) + "\n", encoding="utf-8")

    def _evidence(self, remains: list[str]) -> Evidence:
        evidence = Evidence(
            intents=self._enqueuers.intents,
            runs=runs_of(self._root / "ledger"),
            sightings=self._watch.sightings,
            asked=self._watch.asked,
            remains=remains,
            touched=self._operator.touched,
            cancelled=self._operator.cancelled,
            answers=self._askers.answers,
            asks=self._askers.asks,
            errors=[*self._enqueuers.surprises, *self._askers.surprises, *self._ends()],
            seen={
                fault: [f"{fault}, {times} times: {what}" for what, times in found.items()]
                for fault, found in self._auditor.found.items()
            },
        )
        for each in self._places:
            for tree in each.trees:
                _read_log(tree.events(), tree.lines, evidence)
        gather(self._base, evidence)
        return evidence

    def _ends(self) -> list[str]:
        """Return the supervisors that ended though nobody told them to, or badly."""
        reported: dict[str, set[str]] = {}
        for asked in self._watch.asked:
            if asked.pid == 0:
                reported.setdefault(asked.tree, set()).add(asked.what)
        ends = [
            (f"{each.name}{number}", tree.process.poll())
            for each in self._places
            for number, tree in enumerate(each.trees, 1)
        ]
        return [
            f"supervisor of {tree} ended with {status}"
            for tree, status in ends
            if not reported.get(tree, set()) & {"kill", "TERM", "QUIT"}
            # A start that was told to end before it could hear ends by the signal.
            or (
                "kill" not in reported[tree]
                and status not in {0, -signal.SIGTERM, -signal.SIGQUIT}
            )
        ]

    def _counts(self, evidence: Evidence) -> dict[str, int]:
        states = Counter(intent.state for intent in evidence.intents)
        outcomes = Counter(job.outcome or "failed" for job in evidence.jobs)
        events = Counter(
            event.get("event")
            for each in self._places
            for tree in each.trees
            for event in tree.events()
        )
        return {
            **{f"enqueued: {state}": states[state] for state in sorted(states)},
            **{f"jobs: {outcome}": outcomes[outcome] for outcome in sorted(outcomes)},
            "retried, dropped or cancelled by hand": self._operator.done,
            **_kinds(evidence),
            "runs": len(evidence.runs),
            "attempts that failed": len(evidence.attempts),
            "given back": sum(not each.recorded for each in evidence.holdings),
            "runs given back": Excuses(evidence).uncounted(),
            "trees": sum(each.generation for each in self._places),
            "processes": len(evidence.sightings),
            "processes pruned": events["process.pruned"],
            "looks of the auditor": self._auditor.checks,
        }


def _kinds(evidence: Evidence) -> dict[str, int]:
    """Return how often it came to what only some jobs know."""
    results = Counter(run.result for run in evidence.runs)
    struck = {
        run.job_id for run in evidence.runs if run.result in {"Cancelled", "CancelledError"}
    }
    reasons = Counter(job.reason for job in evidence.jobs)
    latest = [ask.job_id for ask in evidence.asks if ask.kind == "chaos.latest" and ask.job_id]
    return {
        "cancelled": reasons["cancelled"],
        "cancelled while they ran": len(struck & evidence.cancelled.keys()),
        "expired": reasons["expired"],
        "over their time limit": results["TimeLimitExceeded"],
        "ended with their own transaction": len(evidence.effects),
        "answers waited for": len(evidence.answers),
        "replaced while they waited": len(latest) - len({*latest}),
        "kept out for a time": sum(
            ask.state == "duplicate" for ask in evidence.asks if ask.kind == "chaos.rare"
        ),
        "logs kept": len(evidence.logs),
    }


def _read_log(events: list[dict[str, Any]], lines: list[str], evidence: Evidence) -> None:
    for event in events:
        name = event.get("event")
        if name in _ENDS and event.get("reason") and (pid := event.get(_ENDS[name])):
            evidence.exits.setdefault(pid, event["reason"])
        if name == "thread.failed" or event.get("exit_status") == 70:
            evidence.errors.append(json.dumps(event))
    evidence.errors += [line for line in lines if line.startswith("Traceback")]
