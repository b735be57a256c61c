"""Metrics: families, their figures, and the text that Prometheus reads.

The queries behind the figures lie in `operations`, the HTTP server in the monitor.
"""
