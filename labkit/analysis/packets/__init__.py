"""Packets: the bytes of all of them at once, as columns; and one of them, taken apart.

Here belongs what reads headers below the payload: `frames` gets at the bytes, `links`, `network`, `transport` and
`icmp` read headers, `index` holds the columns that tell packets apart, `headers` and `columns` name every other
field. Which packets belong together is for `connections`. The ground of analysis: it imports none of the other rooms.
"""
