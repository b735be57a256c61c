"""What `manage.py` finds of ours: the folder of our commands."""
