"""Claims of one worker: when, how many jobs, of which kind, and where the search begins."""
