"""The heartbeat: a shipped job that proves that recurring tasks are enqueued and run.

Begin here. `job` is a complete job as a user writes one: it inserts a row and logs a line.
The task `heartbeat` in recurring.yml runs it every few minutes. `log` asks the table of its
rows: the latest, those of a machine, the gaps, and whether all is well (`health_status`).
"""

from __future__ import annotations

from .job import HeartbeatJob
from .log import Gap, HeartbeatLog, HeartbeatLogs, health_status

__all__ = ["Gap", "HeartbeatJob", "HeartbeatLog", "HeartbeatLogs", "health_status"]
