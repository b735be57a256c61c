"""Hooks for gunicorn: `gunicorn -c python:jobsd.gunicorn app:app` with JOBSD_IN_WEB=1.

A configuration file of one's own imports them: `from jobsd.gunicorn import *`. Without the
variable they do nothing.
"""

import os

from jobsd import in_web

__all__ = ["on_exit", "on_reload", "post_worker_init", "when_ready"]


def when_ready(server: object) -> None:
    """Start the tree once the server listens."""
    del server
    if in_web.is_enabled():
        in_web.start(os.getpid())


def post_worker_init(worker: object) -> None:
    """Make each worker start the tree's keeper again if it is killed."""
    del worker
    if in_web.is_enabled():
        in_web.keep(os.getppid())


def on_reload(server: object) -> None:
    """Reload the tree with the server."""
    del server
    if in_web.is_enabled():
        in_web.reload(os.getpid())


def on_exit(server: object) -> None:
    """Drain the tree, and wait for its end."""
    del server
    if in_web.is_enabled():
        in_web.stop(os.getpid())
