"""Runs commands in a virtual machine for the test outside; they share a folder.

The request of a number is a file in it, and so is its answer; each comes by one rename.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

REST_S = 0.02


def main() -> None:
    """Answer one request after the other."""
    folder, number = Path(sys.argv[1]), 1
    while True:
        request = folder / f"{number}.request"
        while not request.exists():
            time.sleep(REST_S)
        words, stdin = json.loads(request.read_text(encoding="utf-8"))
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
        new = folder / f"{number}.new"
        reported = [done.returncode, done.stdout, done.stderr]
        new.write_text(json.dumps(reported), encoding="utf-8")
        new.rename(folder / f"{number}.answer")
        number += 1


if __name__ == "__main__":
    main()
