"""The start of a tree: import check, assembly of processes, pidfile, readiness, exits.

The processes lie in their rooms at the root; commands that talk to a tree use it, too.
"""
