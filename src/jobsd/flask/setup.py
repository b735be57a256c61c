"""Loads the application in the processes of jobsd: `flask jobs` has them import this.

It is the one that `flask` itself would find: named by FLASK_APP, else in wsgi.py or app.py.
"""

import os

from flask.cli import ScriptInfo

ScriptInfo(app_import_path=os.environ.get("FLASK_APP") or None).load_app()
