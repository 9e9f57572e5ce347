"""What a recording tells: index of packets, trajectories, connections, exchanges, decisions, visibility, the graph.

Everything here is computed from the packets' bytes and the recorded events; it runs on a file from anywhere.
`study.Study` makes each derivation once; `labkit.capture.Capture` offers them to the user.
"""
