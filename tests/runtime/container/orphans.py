"""Call target: processes that nobody below the host's own listens for any more."""

import os
import subprocess
import sys
import time
from pathlib import Path

_SLEEP = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def begin(folder: str) -> list[int]:
    """Process ids: of a child, and of one whose parent, in a session of its own, has ended."""
    child = subprocess.Popen([sys.executable, "-c", _SLEEP], stdout=subprocess.DEVNULL)
    file = Path(folder, "orphan")
    script = f'"$0" -c "$1" > {file} & exit 0'
    subprocess.run(["sh", "-c", script, sys.executable, _SLEEP], start_new_session=True, check=True, timeout=10)
    deadline = time.monotonic() + 10
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    orphan = int(file.read_text())
    assert int(Path(f"/proc/{orphan}/stat").read_text().rpartition(")")[2].split()[1]) != os.getpid()
    return [child.pid, orphan]
