"""The lifespan of ASGI applications: with JOBSD_IN_WEB=1 the web server runs the tree."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from jobsd import handed_on, in_web

__all__ = ["lifespan"]


@asynccontextmanager
async def lifespan(app: object = None) -> AsyncGenerator[None]:
    """Run the tree as long as the web server, one however many worker processes it has.

    `FastAPI(lifespan=jobsd.asgi.lifespan)`, or `async with jobsd.asgi.lifespan(app):` around
    the `yield` of a lifespan of one's own. Without the variable it does nothing.

    Raises:
        InWebError: the tree's process could not be started.
    """
    del app
    if not in_web.is_enabled():
        yield
        return
    host = in_web.host_pid()
    await asyncio.to_thread(in_web.keep, host, handed_on.environ(), renewed=True)
    try:
        yield
    finally:
        end = in_web.stop if host == os.getpid() else in_web.leave
        await asyncio.to_thread(end, host)
