"""Crash recovery: finds dead processes, and recovers their jobs, rows and entries."""
