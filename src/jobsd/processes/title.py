"""Process titles: the text that `ps` shows for our processes."""

import setproctitle

_shown = ""


def set_title(kind: str, doing: str) -> None:
    """Show the process as "jobsd KIND: DOING"."""
    global _shown  # noqa: PLW0603 - a process has one title
    title = f"jobsd {kind}: {doing}" if doing else f"jobsd {kind}"
    if title != _shown:
        # Called in each poll; setting the title costs as much as performing a job.
        setproctitle.setproctitle(title)
        _shown = title
