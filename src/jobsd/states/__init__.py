"""The tables for the states of jobs, and the statements that move jobs: a file for each table.

The enqueues of programs lie in `enqueueing`, the acts of operators in `acts`.
"""
