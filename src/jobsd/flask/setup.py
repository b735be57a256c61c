"""Loads the application in the processes of jobsd: `flask jobs` makes them import this module.

It is the application that `flask` itself would find: in FLASK_APP, or in wsgi.py or app.py.
"""

import os

from flask.cli import ScriptInfo

ScriptInfo(app_import_path=os.environ.get("FLASK_APP") or None).load_app()
