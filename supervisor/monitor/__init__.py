"""The process that speaks for the tree: to the database, and to whoever watches."""
