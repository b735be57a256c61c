"""Jobs: their definition, their arguments, and one file for each state they can be in."""
