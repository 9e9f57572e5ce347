"""Packet taps: a kernel ring at every vantage point, read by a task in the node, gathered by the lab's owner.

`ring` and `task` run inside the nodes and import nothing heavy; `blocks`, `store` and `collector` run on the owner's
side. `PRELOAD` names what nodes should have imported before the first capture.
"""

PRELOAD = ("labkit.taps.task",)
