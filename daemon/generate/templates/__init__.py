"""The files that `init` writes, as templates that look like their results."""
