"""The tables that say where a job is, with the statements that move it: a file for each.

What programs send lies in `enqueueing`, what operators ask for in `acts`.
"""
