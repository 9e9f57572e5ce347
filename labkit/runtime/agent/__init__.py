"""The agent: the one process in every node that starts tasks by dotted name, whatever the runtime."""
