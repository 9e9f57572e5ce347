"""Where Envoy accepts clients, and how it speaks HTTP with them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.balancer.policy import L7Policy

from . import door, edits, filters, log, names, replies
from .discovery import LISTENER, TYPES, File, file, source

SERVER = "labkit-balancer"
FOREVER = "0s"
HTTP = f"{TYPES}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
DOWNSTREAM_QUIC = f"{TYPES}envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport"
DOWNSTREAM_TLS = f"{TYPES}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
PRESERVE_CASE = {
    "stateful_formatter": {
        "name": "preserve_case",
        "typed_config": {
            "@type": f"{TYPES}envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
        },
    }
}
HELLO = {  # reads the ClientHello before TLS begins: without it the name asked for is not on record
    "name": "hello",
    "typed_config": {"@type": f"{TYPES}envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"},
}
_SUITES = (  # of TLS 1.2: with forward secrecy, and authenticated; those of 1.3 are all so
    *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    *("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"),
)
WEBSOCKET = "websocket"
TLS_VERSIONS = {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}
# RE2 has no lookahead: what leaves the word at one of its letters, or goes on behind it
_NOT_WEBSOCKET = "(?i)" + "|".join(
    [*(f"{WEBSOCKET[:at]}([^{letter}].*)?" for at, letter in enumerate(WEBSOCKET)), f"{WEBSOCKET}.+"]
)


_SAID_PROTO = {  # Envoy writes X-Forwarded-Proto itself; what the client said is kept from that
    "name": "said",
    "typed_config": {
        "@type": f"{TYPES}envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        "mutations": [
            {"remove": edits.SAID_PROTO},
            {
                "append": {
                    "header": {"key": edits.SAID_PROTO, "value": "%REQ(x-forwarded-proto)%"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            },
        ],
    },
}


EXTENDED_CONNECT = {"allow_connect": True}  # by which WebSockets begin in HTTP/2 (RFC 8441)
_ONE_BY_ONE = {  # the kernel is not to cut packets of several: lab interfaces have that switched off
    "name": "envoy.udp_packet_writer.default",
    "typed_config": {"@type": f"{TYPES}envoy.extensions.udp_packet_writer.v3.UdpDefaultWriterFactory"},
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What TLS is ended with, and what backends are judged by, as PEM text."""

    chain: str
    key: str
    root: str
    named: tuple[tuple[str, str], ...] = ()  # chain and key of each further name


def listeners_file(
    policy: L7Policy,
    folder: str,
    places: Sequence[names.Place],
    identity: Identity | None,
    more: Iterable[dict[str, Any]] = (),
) -> File:
    """All listeners, and *more*. Without *identity* HTTPS is not listened for.

    Most of a policy is told by routes; only its limits, the keys of tokens and how TLS ends stand here. Where that
    changes, Envoy closes kept connections after their next answer; what was upgraded goes on.
    """
    served = [place for place in places if identity or place.listener.protocol != "https"]
    together: dict[tuple[str, int, bool], list[names.Place]] = {}
    for place in served:
        together.setdefault((place.address, place.port, place.quic), []).append(place)
    resources = [_listener(policy, folder, each, identity) for each in together.values()]
    return file(names.LISTENERS_FILE, LISTENER, [*resources, *more], "listener_manager.lds.version_text")


def _listener(
    policy: L7Policy, folder: str, places: Sequence[names.Place], identity: Identity | None
) -> dict[str, Any]:
    """One listener at one address: *places* have both in common, and the transport."""
    place = places[-1]
    where = {"address": place.address, "port_value": place.port}
    made: dict[str, Any] = {
        "name": place.name,
        "address": {"socket_address": where},
        "freebind": True,  # an IPv6 address is tentative at first
        "filter_chains": [_chain(policy, folder, each, identity) for each in places],
    }
    if place.quic:
        where["protocol"] = "UDP"
        return made | {"udp_listener_config": {"quic_options": {}, "udp_packet_packet_writer_config": _ONE_BY_ONE}}
    first = [HELLO] if place.listener.protocol == "https" else []
    return made | {"tcp_backlog_size": 4096, "listener_filters": first}


def fence(folder: str) -> dict[str, Any]:
    """A Unix socket on which the task asks for a line in the log: all that was logged before stands before it."""
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    manager = {
        "@type": HTTP,
        "stat_prefix": "fence",
        "codec_type": "HTTP1",
        "access_log": [log.fence(f"{folder}/{names.LOG}")],
        "http_filters": [filters.ROUTER],
        "route_config": {"virtual_hosts": [{"name": "fence", "domains": ["*"], "routes": [answer]}]},
    }
    return {
        "name": "fence",
        "address": {"pipe": {"path": f"{folder}/{names.FENCE}", "mode": 0o600}},
        "filter_chains": [{"filters": [_filter(manager)]}],
    }


def _chain(policy: L7Policy, folder: str, place: names.Place, identity: Identity | None) -> dict[str, Any]:
    chain: dict[str, Any] = {"filters": [_filter(_manager(policy, folder, place))]}
    if place.multiplexed:
        chain["filter_chain_match"] = {"application_protocols": ["h2"]}
    if place.quic and identity:
        chain["transport_socket"] = _quic(policy, folder, identity)
    elif place.listener.protocol == "https" and identity:
        chain["transport_socket"] = _tls(policy, folder, identity)
        chain["transport_socket_connect_timeout"] = names.duration(policy.limits.header_seconds)
    return chain


def _manager(policy: L7Policy, folder: str, place: names.Place) -> dict[str, Any]:
    """How HTTP is spoken: as near to what came in as a proxy can pass it on."""
    return {
        "@type": HTTP,
        "stat_prefix": place.name,
        "codec_type": "HTTP3" if place.quic else "AUTO" if place.listener.protocol == "https" else "HTTP1",
        "rds": {"route_config_name": place.name, "config_source": source(folder, place.routes_file)},
        "http_filters": filters.installed(policy),
        "access_log": [log.requests(f"{folder}/{names.LOG}")],
        "access_log_options": {"flush_log_on_tunnel_successfully_established": True},
        "local_reply_config": replies.local_replies(edits.said(policy, place)),
        "upgrade_configs": [{"upgrade_type": WEBSOCKET}],
        "http_protocol_options": {
            "accept_http_10": True,
            "header_key_format": PRESERVE_CASE,
            "allow_custom_methods": True,
            "ignore_http_11_upgrade": [{"safe_regex": {"regex": _NOT_WEBSOCKET}}],  # else 403 (RFC 9110 §7.8)
        },
        "http2_protocol_options": EXTENDED_CONNECT,
        "common_http_protocol_options": {
            "idle_timeout": names.duration(policy.limits.idle_seconds),
            "max_headers_count": min(policy.limits.fields, 2**32 - 1),
        },
        "request_headers_timeout": names.duration(policy.limits.header_seconds),
        "max_request_headers_kb": min(8192, max(1, -(-policy.limits.head_bytes // 1024))),
        "stream_idle_timeout": FOREVER,
        "use_remote_address": True,
        "skip_xff_append": True,
        "early_header_mutation_extensions": [_SAID_PROTO],
        "generate_request_id": False,
        "preserve_external_request_id": True,
        "server_name": SERVER,
        "server_header_transformation": "APPEND_IF_ABSENT",
        "normalize_path": False,  # `filters.PATHS` does it, for the choice alone
        "delayed_close_timeout": "0.05s",  # a WebSocket's client waits for this end to close first
    }


def _tls(policy: L7Policy, folder: str, identity: Identity) -> dict[str, Any]:
    """SNI chooses among the certificates, and the first is for all others; nothing is resumed."""
    every = ((identity.chain, identity.key), *identity.named)
    certificates = [
        {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}} for chain, key in every
    ]
    return {
        "name": "tls",
        "typed_config": {
            "@type": DOWNSTREAM_TLS,
            "require_client_certificate": policy.tls is not None and policy.tls.clients == "required",
            "disable_stateless_session_resumption": True,
            "disable_stateful_session_resumption": True,
            "common_tls_context": {
                "tls_params": {**TLS_VERSIONS, "cipher_suites": list(_SUITES)},
                "tls_certificates": certificates,
                "alpn_protocols": ["h2", "http/1.1"],
                "key_log": {"path": f"{folder}/{names.FRONT_KEYS}"},
                **door.validation(policy.tls, identity.root),
            },
        },
    }


def _quic(policy: L7Policy, folder: str, identity: Identity) -> dict[str, Any]:
    """The same certificates; which version of TLS is spoken, and what in it, QUIC says itself (RFC 9001 §4.2, §8.1)."""
    own = _tls(policy, folder, identity)["typed_config"]
    own["common_tls_context"] = {"tls_certificates": own["common_tls_context"]["tls_certificates"]}
    return {"name": "quic", "typed_config": {"@type": DOWNSTREAM_QUIC, "downstream_tls_context": own}}


def _filter(manager: dict[str, Any]) -> dict[str, Any]:
    return {"name": "http", "typed_config": manager}
