"""The command line: entry, verbs, output, tables, screens, and what commands share.

Each command lies in `commands`; what starts a tree lies in `tree`.
"""
