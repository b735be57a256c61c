"""The tables, step by step: numbered SQL files, or folders of them, that only go up.

A step is applied under load, and the program before it works with what it makes. So it

- adds, and takes away only what the program before has not used any more;
- leaves the functions that callers name where they are. CREATE OR REPLACE keeps a function's
  identity, and calls that have begun. Where the parameters change, the old one is renamed and
  the new one made in the same step: calls that have begun still find the old one, which a
  later step drops. The new one gets the grants that the old one has;
- builds no index and rewrites no table that may be large: enqueues wait meanwhile.
"""
