"""Makes scheduled jobs ready when they are due."""
