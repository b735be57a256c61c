-- command: read what a task is to call.
SELECT command FROM jobsd.recurring_tasks WHERE key = %(key)s AND command IS NOT NULL;
