"""What every process of the tree shares: its life, its entry, its row."""
