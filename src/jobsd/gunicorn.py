"""Hooks for gunicorn: `gunicorn -c python:jobsd.gunicorn app:app` with JOBSD_IN_WEB=1.

A configuration file of one's own imports them: `from jobsd.gunicorn import *`. Without the
variable they do nothing.
"""

import os

from jobsd import handed_on, in_web

__all__ = ["on_exit", "on_reload", "post_worker_init"]


def post_worker_init(worker: object) -> None:
    """Start the tree, once the application is loaded; and again if its keeper is killed."""
    del worker
    if in_web.is_enabled():
        in_web.keep(os.getppid(), handed_on.environ())


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
