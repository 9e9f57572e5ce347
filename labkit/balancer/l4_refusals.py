"""What only L7 can do, and why L4 cannot: one sentence of reason for each, as tables. Pure text.

Two reasons there are. What needs something of the request to choose by comes too late: the choice falls on the SYN.
What needs to change, answer or understand a request never meets one: packets pass unopened.
"""

# What L4 is asked for -> what it cannot do, and what the client has not sent when the SYN decides.
_TOO_EARLY = {
    "routes": ("route by path", "a path"),
    "path": ("route by path", "a path"),
    "query": ("route by query", "a query"),
    "host": ("route by host", "a Host header"),
    "headers": ("route by header", "a header"),
    "cookies": ("route by cookie", "a cookie"),
    "body": ("route by body", "a body"),
    "method": ("route by method", "a request"),
    "grpc": ("route by gRPC service", "a request"),
    "websocket": ("tell a WebSocket from other TCP", "the upgrade"),
    "sticky": ("keep a session by cookie", "a cookie"),
    "auth": ("ask who the user is", "a request"),
    "jwt": ("check a token", "an Authorization header"),
    "api_key": ("check an API key", "a header"),
    "rate_limit": ("limit requests", "a request"),
    "body_limit": ("refuse what is too large", "a body"),
    "waf": ("judge what a request asks for", "a request"),
}

# What L4 is asked for -> what it cannot do, and what that would take.
_UNOPENED = {
    "tls": ("end TLS", "the handshake is between client and backend"),
    "reencrypt": ("encrypt again", "it never decrypts: client and backend share the keys, and L4 has none"),
    "rewrites": ("change a request", "of all it passes on it rewrites addresses and ports alone"),
    "redirects": ("redirect", "an answer in HTTP would have to come from lb, and L4 never answers"),
    "error_pages": ("answer with a page", "it never answers in HTTP; its one refusal is an RST"),
    "compression": ("compress", "the bytes of an answer arrive as the backend sent them"),
    "caching": ("cache", "an answer that is to be kept would have to be read"),
    "retries": ("send a request again", "it keeps none, and the connection belongs to client and backend"),
    "mirror": ("copy requests to another backend", "one connection has one backend"),
    "request_id": ("number requests", "several may follow each other in one connection, and L4 sees segments"),
    "access_log": ("log requests", "its record (lab.balancer.decisions()) has one line a connection"),
    "forwarded": ("add X-Forwarded-For", "it adds nothing; with DNAT the backend sees the client's own address"),
    "http2": ("switch HTTP/2", "client and backend agree on it by themselves (ALPN)"),
}

_USE_ROUTES = "Use lab.balancer.l7(routes=[...])."
ONLY_L7 = "Only a balancer that ends the connection (L7) can."

ONLY_AT_L7 = {
    name: f"L4 cannot {cannot}: it chooses the backend on the SYN, before the client has sent {unsent}. "
    + (_USE_ROUTES if unsent == "a path" else ONLY_L7)
    for name, (cannot, unsent) in _TOO_EARLY.items()
} | {
    name: f"L4 cannot {cannot}: it chooses the backend on the SYN, before there is a request, and passes on what "
    f"follows unopened: {reason}. {ONLY_L7}"
    for name, (cannot, reason) in _UNOPENED.items()
}
"""Why ``lab.balancer.l4(name=...)`` is refused, for what L7 does."""

ALSO_CALLED = {
    "route": "routes",
    "paths": "path",
    "url": "path",
    "prefix": "path",
    "params": "query",
    "hosts": "host",
    "domain": "host",
    "vhost": "host",
    "header": "headers",
    "cookie": "cookies",
    "sticky_cookie": "sticky",
    "session": "sticky",
    "methods": "method",
    "websockets": "websocket",
    "authentication": "auth",
    "basic_auth": "auth",
    "oauth": "auth",
    "token": "jwt",
    "rate": "rate_limit",
    "limits": "rate_limit",
    "max_body": "body_limit",
    "ssl": "tls",
    "https": "tls",
    "terminate": "tls",
    "rewrite": "rewrites",
    "add_headers": "rewrites",
    "redirect": "redirects",
    "gzip": "compression",
    "cache": "caching",
    "retry": "retries",
    "shadow": "mirror",
    "x_forwarded_for": "forwarded",
}
"""Other words for the same."""
