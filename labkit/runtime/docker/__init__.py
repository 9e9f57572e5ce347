"""Hosts of a lab as containers of a Docker engine, which may run elsewhere."""
