"""Connections: which packets, and which sightings at several vantage points, are one and the same; what TCP did.

Here belongs what groups packets by what they are, never by what an event says: `sightings` at one vantage point,
`trajectories` across several, `merged` into connections; `tcp` and `segments` tell each one's story. What was said
on a connection is for `messages`.
"""
