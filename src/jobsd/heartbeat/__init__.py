"""The heartbeat: a shipped job that proves that recurring tasks are enqueued and run.

Begin here. `job` is a complete job as a user writes one: it inserts a row and logs a line.
The task `heartbeat` in recurring.yml runs it every few minutes. `log` queries these
rows: the latest, those of one machine, the gaps, and whether all is well (`health_status`).
Nothing is imported here, because code that reads the log does not need the job.
"""
