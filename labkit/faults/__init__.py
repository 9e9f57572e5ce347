"""What can be broken on purpose in a running lab, one call each, and put back: ``lab.faults``."""

from labkit.faults.fault import Fault
from labkit.faults.faults import Faults

__all__ = ["Fault", "Faults"]
