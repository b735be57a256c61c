"""The commands, a file for each: each has a `command`, which `cli` calls by the file's name."""
