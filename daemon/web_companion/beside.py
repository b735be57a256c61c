"""Runs the processes of `with` and `start --reload`, from their command lines."""

import os
from collections.abc import Sequence
from pathlib import Path

from jobsd.configuration.flags import Flags
from jobsd.configuration.load import examine, load
from jobsd.logs import logs

from . import sibling, source_watch
from .siblings import Siblings, log_as


def run_beside(
    words: Sequence[str],
    command: Sequence[str],
    root: Path,
    flags: Flags,
    *,
    reload: bool = False,
) -> int:
    """Run the tree, `start` with these words, and the command if there is one; to their end.

    With `reload` the tree follows the files below `root`, and faults are waited out.

    Raises:
        ConfigurationError: with every fault, before any process is started; not with `reload`.
    """
    if reload:
        options = examine(root, os.environ, flags).options
    else:
        options = load(root, os.environ, flags)
    log_as("with" if command else "reload", options)
    web = sibling.web_server(command, os.environ) if command else None
    watches = [source_watch.SourceWatch(root)] if reload else []
    drain_s = options.supervisor.shutdown_timeout_s
    siblings = Siblings(sibling.tree(words, os.environ), web, watches, drain_s=drain_s)
    try:
        return siblings.run()
    finally:
        logs.finish()
