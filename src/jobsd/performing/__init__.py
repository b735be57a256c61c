"""The threads that run jobs, and the outcomes of jobs that have run."""
