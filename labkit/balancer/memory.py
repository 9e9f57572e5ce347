"""How much memory a process has to itself."""

from pathlib import Path


def of(pid: int | str) -> int:
    """Bytes of *pid* (or "self"), each shared page divided by those who share it (PSS, proc(5)); 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)
