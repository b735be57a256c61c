"""Events: their list, how they are emitted, and the hooks of users that hear them.

How an event becomes a line lies in `logs`, the figures in `metrics`.
"""
