"""Sets Django up in the processes of jobsd: `manage.py jobs` makes them import this module.

The log stays jobsd's: `LOGGING` would take its lines away from it, and those of its jobs.
"""

from .library import conf, django

conf.settings.LOGGING_CONFIG = None
django.setup()
