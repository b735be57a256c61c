"""Events: their list, how they are emitted, and the hooks of users that are called for them.

How an event becomes a line lies in `logs`, the figures in `metrics`.
"""
