"""Recurring tasks: their definitions, their table, their runs and the outcomes of these.

`definition` checks a task's settings, `code_tasks` finds the tasks of the code, `tasks` is the
table of tasks, `runs` that of their runs; `command` and `command_job` parse and run the dotted
call of a task, `lateness` finds why a run was late. The scheduler (`jobsd.scheduler`) decides
when.
"""

from typing import TYPE_CHECKING

from jobsd import lazy

if TYPE_CHECKING:
    from . import code_tasks, command, command_job, definition, runs, tasks

__all__ = ["code_tasks", "command", "command_job", "definition", "runs", "tasks"]
__getattr__ = lazy.modules(__name__, __all__)
