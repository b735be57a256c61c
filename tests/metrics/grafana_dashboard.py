# ruff: noqa: E501 - a table of queries
"""Makes packaging/grafana/jobsd.json, the dashboard for Grafana, of the table below.

    python tests/metrics/grafana_dashboard.py

Run it when a metric is added. Gauges of queues, tasks and tables come from the database, and all
trees answer alike: of these the maximum is taken. What a tree counts is added up.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARD = Path(__file__).parents[2] / "packaging/grafana/jobsd.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT, _ACROSS = 8, 7, 3
RATE = "$__rate_interval"


class Panel(NamedTuple):
    """One panel: its title, the unit of its axis, and its queries with their legends."""

    title: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"


def _rate(metric: str, by: str, among: str = "", how: str = "sum") -> str:
    return f"{how} by ({by}) (rate({metric}{{{among}}}[{RATE}]))"


def _p95(metric: str, by: str, among: str = "") -> str:
    return f"histogram_quantile(0.95, {_rate(f'{metric}_bucket', f'le, {by}', among)})"


def _most(metric: str, by: str, among: str = "") -> str:
    return f"max by ({by}) ({metric}{{{among}}})"


_Q = 'queue=~"$queue"'
_OLDEST = (
    "max(max by (queue) (jobsd_queue_latency_seconds)"
    " unless on (queue) (max by (queue) (jobsd_queue_paused) == 1)) or vector(0)"
)

ROWS: dict[str, list[Panel]] = {
    "At a glance": [
        Panel("Since the last heartbeat", "s", {"time() - max(jobsd_heartbeat_last_timestamp_seconds)": ""}, "stat"),
        Panel("Oldest ready job, paused queues left out", "s", {_OLDEST: ""}, "stat"),
        Panel("Failed jobs", "short", {'sum(max by (queue) (jobsd_queue_jobs{state="failed"}))': ""}, "stat"),
        Panel("Findings of the health", "short", {"sum by (severity) (max by (finding, severity) (jobsd_health_finding))": "{{severity}}"}, "stat"),
        Panel("Database answers", "short", {"min by (instance) (jobsd_database_up)": "{{instance}}"}, "stat"),
        Panel("Processes", "short", {_most("jobsd_processes", "kind"): "{{kind}}"}, "stat"),
        Panel("Versions", "short", {"count by (version, python, postgresql) (jobsd_build_info)": "{{version}}, Python {{python}}, PostgreSQL {{postgresql}}"}, "stat"),
    ],
    "Queues": [
        Panel("Jobs that come in, a second", "short", {_rate("jobsd_queue_enqueued_total", "queue", _Q, "max"): "{{queue}}"}),
        Panel("What becomes of jobs, a second", "short", {_rate("jobsd_jobs_total", "outcome", _Q): "{{outcome}}"}),
        Panel("Jobs by state", "short", {f"sum by (state) ({_most('jobsd_queue_jobs', 'queue, state', _Q)})": "{{state}}"}),
        Panel("Wait of the oldest ready job", "s", {_most("jobsd_queue_latency_seconds", "queue", _Q): "{{queue}}"}),
        Panel("95 % of jobs begin within", "s", {_p95("jobsd_job_wait_seconds", "queue", _Q): "{{queue}}"}),
        Panel("95 % of jobs run for at most", "s", {_p95("jobsd_job_duration_seconds", "queue", _Q): "{{queue}}"}),
        Panel("Busy threads", "short", {f"sum by (queue) (jobsd_queue_busy_threads{{{_Q}}})": "{{queue}}"}),
        Panel("Workers that a queue needs", "short", {_most("jobsd_desired_workers", "queue", _Q): "{{queue}}"}),
        Panel("Age of the oldest claim", "s", {_most("jobsd_queue_claim_age_seconds", "queue", _Q): "{{queue}}"}),
        Panel("Paused", "short", {_most("jobsd_queue_paused", "queue", _Q): "{{queue}}"}),
        Panel("Jobs of unknown classes", "short", {
            _most("jobsd_queue_unknown_class_jobs", "queue", _Q): "{{queue}}",
            _most("jobsd_queue_unknown_class_age_seconds", "queue", _Q): "{{queue}}, for seconds",
        }),
        Panel("Out of time, expired, cancelled, a second", "short", {
            _rate("jobsd_timeouts_total", "kind", _Q): "timeout, {{kind}}",
            f"sum(rate(jobsd_expired_total{{{_Q}}}[{RATE}]))": "expired",
            f"sum(rate(jobsd_cancelled_total{{{_Q}}}[{RATE}]))": "cancelled",
        }),
    ],
    "Classes and errors": [
        Panel("What becomes of jobs by class, the ten busiest, a second", "short", {f"topk(10, {_rate('jobsd_class_jobs_total', 'class, outcome')})": "{{class}} {{outcome}}"}),
        Panel("95 % of jobs of a class run for at most, the ten longest", "s", {f"topk(10, {_p95('jobsd_class_duration_seconds', 'class')})": "{{class}}"}),
        Panel("Failures by error, the ten most frequent, a second", "short", {f"topk(10, {_rate('jobsd_failures_total', 'error, outcome')})": "{{error}}, {{outcome}}"}),
    ],
    "Recurring tasks": [
        Panel("Runs, an hour", "short", {"max by (task) (increase(jobsd_recurring_enqueued_total[1h]))": "{{task}}"}),
        Panel("Missed runs, an hour", "short", {"max by (task) (increase(jobsd_recurring_missed_total[1h]))": "{{task}}"}),
        Panel("Failed, of the last five runs", "short", {_most("jobsd_recurring_failed_runs", "task"): "{{task}}"}),
        Panel("Since the last run", "s", {f"time() - {_most('jobsd_recurring_last_run_timestamp_seconds', 'task')}": "{{task}}"}),
        Panel("Until the next run", "s", {f"{_most('jobsd_recurring_next_run_timestamp_seconds', 'task')} - time()": "{{task}}"}),
        Panel("Disabled", "short", {_most("jobsd_recurring_disabled", "task"): "{{task}}"}),
    ],
    "Processes": [
        Panel("Threads", "short", {"sum by (state) (jobsd_worker_threads)": "{{state}}"}),
        Panel("Coroutines", "short", {"sum by (state) (jobsd_coroutines)": "{{state}}"}),
        Panel("Memory", "bytes", {"sum by (instance, kind, number) (jobsd_process_resident_bytes)": "{{instance}} {{kind}} {{number}}"}),
        Panel("Replaced processes, an hour", "short", {"sum by (kind, reason) (increase(jobsd_process_restarts_total[1h])) > 0 or vector(0)": "{{kind}}, {{reason}}"}),
        Panel("Age of heartbeats", "s", {"max by (kind) (jobsd_process_heartbeat_age_seconds)": "{{kind}}"}),
        Panel("The supervisor last came round", "s", {"max by (instance) (jobsd_supervisor_loop_age_seconds)": "{{instance}}"}),
        Panel("Reloads, an hour; the last one was done", "short", {
            "sum by (outcome) (increase(jobsd_reloads_total[1h]))": "{{outcome}}",
            "min by (instance) (jobsd_reload_last_success)": "{{instance}}: done",
        }),
        Panel("Pruned processes, lost claims, an hour", "short", {
            "sum(increase(jobsd_prunes_total[1h]))": "pruned processes",
            "sum(increase(jobsd_claims_lost_total[1h]))": "lost claims",
        }),
        Panel("Requests to the dashboard, a second", "short", {_rate("jobsd_web_requests_total", "status"): "{{status}}"}),
        Panel("Lost log lines, an hour", "short", {"sum by (instance) (increase(jobsd_log_lines_dropped_total[1h]))": "{{instance}}"}),
    ],
    "Database": [
        Panel("Outages, an hour", "short", {"sum by (instance) (increase(jobsd_outages_total[1h]))": "{{instance}}"}),
        Panel("Seconds of outages, an hour", "s", {"sum by (instance) (increase(jobsd_outage_seconds_total[1h])) + sum by (instance) (jobsd_outage_age_seconds)": "{{instance}}"}),
        Panel("Lateness of dispatchers, oldest transaction", "s", {
            "max(jobsd_dispatch_lag_seconds)": "lateness of dispatchers",
            "max(jobsd_oldest_transaction_seconds)": "oldest transaction",
        }),
        Panel("Size of tables", "bytes", {_most("jobsd_table_bytes", "table"): "{{table}}"}),
        Panel("Dead rows", "short", {_most("jobsd_table_rows", "table", 'state="dead"'): "{{table}}"}),
    ],
}  # fmt: skip


def dashboard() -> dict[str, Any]:
    """Return the dashboard, as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(_head(title, y, len(panels) + 1))
        for index, panel in enumerate(row):
            place = {
                "x": index % _ACROSS * _WIDTH,
                "y": y + 1 + index // _ACROSS * _HEIGHT,
                "w": _WIDTH,
                "h": _HEIGHT,
            }
            panels.append(_panel(panel, place, len(panels) + 1))
        y += 1 + -(-len(row) // _ACROSS) * _HEIGHT
    return {
        "uid": "jobsd",
        "title": "jobsd",
        "tags": ["jobsd"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source(), _queues()]},
        "panels": panels,
    }


def _head(title: str, y: int, number: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": _WIDTH * _ACROSS, "h": 1}
    return {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}


def _panel(panel: Panel, place: dict[str, int], number: int) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + index),
            "expr": query,
            "legendFormat": legend,
            "datasource": SOURCE,
        }
        for index, (query, legend) in enumerate(panel.queries.items())
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus"}


def _queues() -> dict[str, Any]:
    query = "label_values(jobsd_queue_jobs, queue)"
    return {
        "name": "queue",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "queue"},
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
    }


def text() -> str:
    """Return the file."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(text(), encoding="utf-8")
