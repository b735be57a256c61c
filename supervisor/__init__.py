"""The supervisor, which keeps the other processes alive; the monitor; crash recovery."""
