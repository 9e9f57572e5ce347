"""The Envoy process: a child of the task that ends when the task does, however that ends."""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess

_PR_SET_PDEATHSIG = 1
_MOST_THREADS = 4
_DRAIN_SECONDS = 7 * 24 * 3600
_libc = ctypes.CDLL(None)


def spawn(binary: str, configuration: str, flush_ms: int) -> subprocess.Popen[bytes]:
    """Start it with the bootstrap file *configuration*; what it complains of comes from its ``stderr``.

    flush_ms: how long it may keep what it logs to itself. To be called by the task's main thread: the kernel ends the
    child when the thread that started it ends.
    """
    parent = os.getpid()

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        with contextlib.suppress(OSError, ValueError):
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    command = [
        *(binary, "--config-path", configuration, "--disable-hot-restart", "--concurrency", str(threads())),
        *("--file-flush-interval-msec", str(flush_ms), "--log-level", "warning", "--log-format", "%v"),
        # what is upgraded outlives its listener; what is kept goes to the new one after its next answer
        *("--drain-time-s", str(_DRAIN_SECONDS), "--drain-strategy", "immediate"),
    ]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=prepare
    )


def threads() -> int:
    """How many of its threads serve clients: as many as it may use CPUs, up to four."""
    return max(1, min(_MOST_THREADS, len(os.sched_getaffinity(0))))


def end_of(code: int) -> str:
    """An exit code in words."""
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
