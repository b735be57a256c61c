"""Questions to a monitor over HTTP."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from waiting import Stopwatch, Took

if TYPE_CHECKING:
    from socket import socket


def ask(
    listener: socket, path: str, accept: str = "*/*"
) -> tuple[int, str, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", _port(listener), timeout=10)
    connection.request("GET", path, headers={"Accept": accept})
    reply = connection.getresponse()
    body = reply.read().decode()
    connection.close()
    return reply.status, body, reply


def _port(listener: socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def facts(listener: socket, path: str) -> tuple[int, dict[str, Any]]:
    status, body, reply = ask(listener, path)
    assert reply.getheader("Content-Type") == "application/json"
    return status, json.loads(body)


def metrics(listener: socket) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    _, body, _ = ask(listener, "/metrics")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def seconds(listener: socket, path: str) -> Took:
    """Return how long the answer takes."""
    watch = Stopwatch()
    ask(listener, path)
    return watch.took()
