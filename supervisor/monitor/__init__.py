"""The monitor: rows, heartbeats, recovery and HTTP of a tree."""
