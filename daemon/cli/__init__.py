"""The command line: entry, verbs, output, tables, screens, and the common parts of commands.

Each command lies in `commands`; the start of a tree lies in `tree`.
"""
