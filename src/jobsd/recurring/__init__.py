"""Tasks that run again and again: schedules, tasks, occurrences."""
