"""The Docker runtime: every node is a container."""
