"""What can happen, and who listens to it: logs and metrics."""
