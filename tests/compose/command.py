"""How Compose is called here: version 2 is a plug-in of `docker`, version 1 a program of its own."""

import functools
import shutil
import subprocess


@functools.cache
def compose_command() -> tuple[str, ...]:
    """The words to begin with; none where there is no Compose. Where both versions are there, the newer."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=60, check=False)
        if asked.returncode == 0:
            return ("docker", "compose")
    return ("docker-compose",) if shutil.which("docker-compose") else ()
