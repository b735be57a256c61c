"""The job that shows that scheduling works, and the log of its runs."""
