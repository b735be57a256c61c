"""Events and their subscribers: the log, hooks, metrics."""
