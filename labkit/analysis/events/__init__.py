"""Events: what the lab recorded beside the packets (topology, decisions, requests, probes), found among them.

Here belongs what joins an event with packets: `finder` goes from tuples and times to connections, `exchanges` and
`decisions` are the proxy's and the balancer's own record, `carriage` finds the messages of an exchange. What all that
proves is for `evidence`.
"""
