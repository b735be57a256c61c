-- command: read the command of a task.
SELECT command FROM jobsd.recurring_tasks WHERE key = %(key)s AND command IS NOT NULL;
