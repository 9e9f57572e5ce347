"""The default runtime: every node a network namespace, without root, Docker or system packages."""
