"""The folder of our commands, for `manage.py`."""
