"""What every process of the tree shares: its life, its slot, its row."""
