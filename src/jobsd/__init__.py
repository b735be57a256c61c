"""Background jobs and recurring tasks for Python on PostgreSQL alone."""
