"""The name of a tree on its host, the same at each start from the same files.

Apart from the options, since its imports are large, and most commands start no tree.
"""

import hashlib

from .options import Options


def tree_of(options: Options) -> str:
    """Return its name, which two trees of a host share only when they are started alike."""
    digest = hashlib.sha256(options.alike.encode()).hexdigest()
    return f"{options.root.name[:40]}-{digest[:6]}"
