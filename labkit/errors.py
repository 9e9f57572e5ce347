"""The tree of errors labkit raises. Every one names the actor, the thing and the remedy.

One root, so that a notebook can catch everything of ours with ``except LabError``. A captured reset or
a refused connection on the wire is data, not one of these.
"""


class LabError(Exception):
    """Root of all errors labkit raises on purpose."""


class TopologyError(LabError):
    """The description of the lab is wrong; raised before anything was created."""


class RuntimeUnavailable(LabError):
    """No runtime of the asked kind works here; says what is missing, why, and what mends it."""


class LabNotRunning(LabError):
    """The lab was not started, or was stopped, or died; says which and how to start it."""


class TaskError(LabError):
    """A task inside a node failed or ended; carries what it printed last."""


class PolicyError(LabError):
    """The balancer was asked for something it cannot carry out; says why, and what can."""


class UnknownName(PolicyError, KeyError):
    """A table of the balancer's has no such name; says which it has."""

    __str__ = Exception.__str__  # KeyError would show the text in quotes


class EngineError(LabError):
    """An engine of the balancer died or refused its configuration."""


class FaultError(LabError):
    """A fault cannot be caused as asked, or could not be put back; says which, why, and what to do."""


class TrafficError(LabError):
    """A client could not complete what it was asked to do; names client, target and cause.

    ``cause`` is short and stable where the wire is to blame: "refused", "reset", "timed out", "unknown host", …
    """

    cause: str = ""


class CaptureError(LabError):
    """A capture could not be made, read or interpreted."""


class NotAsExpected(LabError, AssertionError):
    """A capture does not show what was expected of it; ``packets``: numbers of those that contradict it."""

    packets: tuple[int, ...] = ()


class NotACapture(CaptureError):
    """The file is not a capture in a format labkit reads."""
