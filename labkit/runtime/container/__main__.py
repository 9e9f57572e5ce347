"""Makes a container a host of a lab: ``python -m labkit.runtime.container [--door NAME]``, begun as root.

Writes the files that name other hosts, then becomes the user ``lab``, who keeps the host's rights and no others, and
serves the agent (`serve`).
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from labkit.errors import LabError

from .order import find

_USER = "lab"
_HOSTS, _RESOLVER = "/etc/hosts", "/etc/resolv.conf"
_HOME = "/tmp"


def main() -> NoReturn:
    """Never returns: the agent takes this process's place."""
    try:
        order = find()
    except LabError as error:
        sys.exit(f"labkit: {error}")
    Path(_HOSTS).write_text(order["hosts"])
    Path(_RESOLVER).write_text("")  # whoever asked the engine's name server would reach the world
    Path(_HOSTS).chmod(0o666)  # names may come while the lab runs; the engine keeps giving the file back to root
    rights = ",".join(["-all", *(f"+{right}" for right in order["rights"])])
    become = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", "--no-new-privs"]
    become += [f"--{kind}={rights}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    environment = os.environ | {"HOME": _HOME, "USER": _USER, "PYTHONUNBUFFERED": "1"}
    serve = [sys.executable, "-m", "labkit.runtime.container.serve", "--hosts", _HOSTS, "--scratch", _HOME, "--network"]
    os.execvpe("setpriv", [*become, *serve, *sys.argv[1:]], environment)


if __name__ == "__main__":
    main()
