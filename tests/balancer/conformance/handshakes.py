"""TLS handshakes made inside a host: what the other side shows, and what it refuses. Plain data in and out."""

from typing import Any

VIP = ("lb", 443)


def shaken(trust: str, attempts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outcome of each attempt, one after another; runs in a host.

    An attempt: name (for SNI; None: without), version ("TLSv1" ...), ciphers (of OpenSSL), certificate ([chain, key] as
    PEM). An outcome: names (DNS, in the certificate shown), version, cipher, resumed (whether a second connection went
    on with the session of the first), status (of a request), or refused: OpenSSL's word for it.
    """
    import os
    import socket
    import ssl
    import warnings

    warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is to be tried

    def context_of(attempt: dict[str, Any]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=trust)
        context.check_hostname = attempt.get("name", "lb") is not None
        if "ciphers" in attempt:
            context.set_ciphers(attempt["ciphers"])
        if "version" in attempt:
            context.minimum_version = context.maximum_version = ssl.TLSVersion[attempt["version"]]
        if "certificate" in attempt:
            file = os.memfd_create("shown")
            os.write(file, "".join(attempt["certificate"]).encode())
            context.load_cert_chain(f"/proc/self/fd/{file}")
            os.close(file)
        return context

    def connect(context: ssl.SSLContext, name: str | None, session: Any = None) -> tuple[dict[str, Any], Any]:
        sock = socket.create_connection(VIP, 10)
        with context.wrap_socket(sock, server_hostname=name, session=session) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (name or "lb").encode())
            status = client.recv(64).split()[1].decode()
            told: Any = client.getpeercert()
            cipher: Any = client.cipher()
            outcome = {
                "names": [value for kind, value in told["subjectAltName"] if kind == "DNS"],
                "version": client.version(),
                "cipher": cipher[0],
                "resumed": client.session_reused,
                "status": status,
            }
            return outcome, client.session

    def outcome_of(attempt: dict[str, Any]) -> dict[str, Any]:
        name = attempt.get("name", "lb")
        try:
            context = context_of(attempt)
            first, session = connect(context, name)
            return first | {"resumed": connect(context, name, session)[0]["resumed"]}
        except ssl.SSLError as error:
            return {"refused": error.reason}
        except ConnectionError as error:
            return {"refused": type(error).__name__}

    return [outcome_of(attempt) for attempt in attempts]
