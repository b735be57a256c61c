"""The threads that run jobs, and what becomes of a job that has run."""
