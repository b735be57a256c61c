"""The heartbeat: a shipped job that proves that recurring tasks are enqueued and run.

Begin here. `job` is a complete job as a user writes one: it inserts a row and logs a line.
The task `heartbeat` in recurring.yml runs it every few minutes. `log` asks the table of its
rows: the latest, those of a machine, the gaps, and whether all is well (`health_status`). Who
reads the log has no use for the job, so nothing is imported here.
"""
