"""Enqueues recurring tasks, once for each planned instant."""
