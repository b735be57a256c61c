"""The heartbeat: a job that proves that recurring jobs run, its log, and what that says."""

from __future__ import annotations

from .health import health_status
from .job import HeartbeatJob
from .log import Gap, HeartbeatLog, HeartbeatLogs

__all__ = ["Gap", "HeartbeatJob", "HeartbeatLog", "HeartbeatLogs", "health_status"]
