"""Recurring tasks: their definitions, their table, their runs and the outcomes of these.

`definition` checks what a person writes, `tasks` is the table of tasks, `runs` that of their
runs; `command` and `command_job` parse and run the dotted call of a task, `lateness` finds
why a run was late. The scheduler (`jobsd.scheduler`) decides when.
"""
