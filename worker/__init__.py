"""Claims jobs, runs them in threads, records what became of them."""
