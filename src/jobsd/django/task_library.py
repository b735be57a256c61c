"""The modules of `django.tasks` (Django 6.0 and later), typed as Any for older versions."""

import importlib
from typing import Any

from .library import django

try:
    base: Any = importlib.import_module("django.tasks.base")
except ImportError as error:
    raise ImportError(
        f"jobsd.django.TasksBackend needs Django 6, and this is {django.__version__}: in older"
        " versions there are no tasks; write jobs with `from jobsd import job`"
    ) from error

backend: Any = importlib.import_module("django.tasks.backends.base")
exceptions: Any = importlib.import_module("django.tasks.exceptions")
signals: Any = importlib.import_module("django.tasks.signals")
json: Any = importlib.import_module("django.utils.json")
timezone: Any = importlib.import_module("django.utils.timezone")
Status: Any = base.TaskResultStatus
