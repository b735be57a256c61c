-- Where a recurring task runs the heartbeat job, only the runs that it enqueued prove that tasks
-- are enqueued and run: `task_key` names it, and is null for a run that somebody else enqueued.
ALTER TABLE jobsd.heartbeat_logs ADD COLUMN task_key text;
