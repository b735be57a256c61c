"""A tree beside a web server: started with it, reloaded with it, ended with it.

The hooks that web servers import are `jobsd.gunicorn` and `jobsd.asgi`.
"""
