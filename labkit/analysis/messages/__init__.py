"""Messages: what the sides of a connection said, put together from packets, decrypted and decoded.

Here belongs what reads payload: `streams` puts bytes together, `content` decrypts them, `http`, `http2` and
`websocket` decode them, `follow` tells a whole conversation. TLS has a room of its own, `tls`. What a balancer
recorded about a message is for `events`.
"""
