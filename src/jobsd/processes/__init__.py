"""What all processes of a tree have in common: life, scoreboard entry, row."""
