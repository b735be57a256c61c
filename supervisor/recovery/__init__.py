"""Crash recovery: finds dead processes, and settles what they leave."""
