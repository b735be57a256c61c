"""The counters of a tree on this machine, scraped from its monitor as Prometheus does."""

import http.client
import os

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from jobsd.configuration.options import Options
from jobsd.database.connection import Session
from jobsd.operations.processes import life
from jobsd.processes import registry

_DEADLINE_S = 3.0
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - nothing is bound here


def metrics_here(session: Session, options: Options) -> list[Metric]:
    """Return all metrics of the first monitor that answers; of several, ours before others."""
    here = registry.identity(os.getpid())
    addresses = [
        str(row.metadata["bind"])
        for row in registry.processes(session)
        if row.kind == "monitor"
        and row.metadata.get("bind")
        and all(row.metadata.get(key) == here[key] for key in ("boot", "namespace"))
        and life(row, options.supervisor.process_alive_threshold_s) == "alive"
    ]
    for address in sorted(addresses, key=lambda each: each != options.monitor.bind):
        if text := _page(address):
            return list(text_string_to_metric_families(text))
    return []


def _page(address: str) -> str:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(
        f"{_LOOPBACK.get(host, host)}:{port}", timeout=_DEADLINE_S
    )
    try:
        connection.request("GET", "/metrics")
        reply = connection.getresponse()
        return reply.read().decode() if reply.status == http.client.OK else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
