"""Claims jobs, hands them to the threads that perform them, and records their outcomes."""
