"""The scoreboard: shared memory with an entry for each process, read after its death.

The life of a process (registration, heartbeat, recycling) lies in `processes`.
"""
