"""The modules of Django, which has no types, typed as Any."""

import importlib
from typing import Any

apps: Any = importlib.import_module("django.apps")
base: Any = importlib.import_module("django.core.management.base")
checks: Any = importlib.import_module("django.core.checks")
conf: Any = importlib.import_module("django.conf")
core_signals: Any = importlib.import_module("django.core.signals")
django: Any = importlib.import_module("django")
db_models: Any = importlib.import_module("django.db.models")
db: Any = importlib.import_module("django.db")
migrations: Any = importlib.import_module("django.db.migrations")
module_loading: Any = importlib.import_module("django.utils.module_loading")
signals: Any = importlib.import_module("django.db.models.signals")
