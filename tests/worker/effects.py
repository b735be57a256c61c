"""A table of the user's, beside the queue's, into which jobs write in a transaction."""

from __future__ import annotations

URL = [""]
"""Where the table is."""
NOTE = "INSERT INTO public.effects (n) VALUES (1)"
