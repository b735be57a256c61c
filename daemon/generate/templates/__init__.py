"""What `init` writes, as files that look like what they become."""
