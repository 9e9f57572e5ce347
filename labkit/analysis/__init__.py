"""What a recording tells: index of packets, trajectories, connections, exchanges, decisions, visibility, the graph.

Everything here is computed from the packets' bytes and the recorded events; it runs on a file from anywhere.
`study.Study` makes each derivation once; `labkit.capture.Capture` offers them to the user.

From the ground up, each part knowing only those before it: `packets` (bytes as columns) and `tls`, `connections`
(which packets are one), `messages` (what was said), `events` (what the lab recorded beside the packets), `study`,
`routes` (from where to where), `graph` and `ladder` (what pictures show), `summary` (figures), `evidence` (what it
proves).
"""
