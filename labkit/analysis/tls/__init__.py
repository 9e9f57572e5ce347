"""TLS in a stream of bytes: what stands in clear, and with the secrets of a key log what does not.

Pure functions over bytes, one file an idea: `records` splits a stream, `hello` reads the two hellos, `suites` names
the ciphers, `keylog` holds secrets, `schedule` makes keys of them, `protection` opens records with the keys, and
`session` goes through both directions of a connection. Where the bytes come from, and which packets carried them, is
said by `labkit.analysis.messages.content`.
"""

from .hello import ClientHello, ServerHello, client_hello, is_tls, server_hello
from .keylog import KeyLog
from .records import APPLICATION, HANDSHAKE, is_record, records
from .session import Direction, Plain, Session, open_session

__all__ = [
    "APPLICATION",
    "HANDSHAKE",
    "ClientHello",
    "Direction",
    "KeyLog",
    "Plain",
    "ServerHello",
    "Session",
    "client_hello",
    "is_record",
    "is_tls",
    "open_session",
    "records",
    "server_hello",
]
