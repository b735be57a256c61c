"""Arguments of jobs as JSON: their encoding, names, types, references and keys.

Nothing here knows a job or a database; `jobs` builds definitions on it.
"""
