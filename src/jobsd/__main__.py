"""`python -m jobsd`, which is `jobsd`."""

import runpy

runpy.run_module("jobsd.daemon", run_name="__main__", alter_sys=True)
