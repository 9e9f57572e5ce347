"""Connections that Envoy relays without reading them: where it takes them, how it chooses, what it logs. Pure.

Each relayed listener of the lab is one of Envoy's at a port of its own, beside those of HTTP. A cluster is named by all
that it is made of and so never changes; who is in it does. What chose (the listener or a name in TLS) and what was
looked at stand in each line of the log as they stood in the configuration when the connection came.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.balancer.policy import Forward, Relay, Target
from labkit.topology import Listener

from . import names
from .discovery import ENDPOINTS, TYPES, File, file, source
from .listeners import HELLO
from .log import FILE

NO_LIMIT = 1 << 30
CONNECT_SECONDS = 5
TCP_PROXY = f"{TYPES}envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_ORIGINAL = {  # the port that the client asked for, which the kernel's rule replaced
    "name": "original",
    "typed_config": {"@type": f"{TYPES}envoy.extensions.filters.listener.original_dst.v3.OriginalDst"},
}
_FIELDS = {
    "kind": "%ACCESS_LOG_TYPE%",
    "began": "%START_TIME(%s%9f)%",
    "chosen": "%COMMON_DURATION(DS_RX_BEG:US_CX_BEG:ns)%",
    "connected": "%COMMON_DURATION(DS_RX_BEG:US_CX_END:ns)%",
    "lasted": "%DURATION%",
    "front": "%CONNECTION_ID%",
    "client": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "server": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "sni": "%REQUESTED_SERVER_NAME%",
    "backend": "%UPSTREAM_HOST_NAME_WITHOUT_PORT%",
    "back": "%UPSTREAM_CONNECTION_ID%",
    "back_client": "%UPSTREAM_LOCAL_ADDRESS%",
    "back_server": "%UPSTREAM_REMOTE_ADDRESS%",
    "sent": "%BYTES_RECEIVED%",
    "answered": "%BYTES_SENT%",
    "flags": "%RESPONSE_FLAGS%",
    "failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}
# Without anything to hash Maglev hashes a random number: shares by weight, which Envoy's own "random" ignores.
_POLICIES = {"round_robin": "ROUND_ROBIN", "random": "MAGLEV", "source_hash": "MAGLEV", "maglev": "MAGLEV"}
_FLOW = "envoy.hashable_string"


@dataclass(frozen=True, slots=True)
class Way:
    """How some of a listener's connections go on: a cluster, and who is in it."""

    listener: Listener
    family: names.Family
    algorithm: str
    protocol: int
    pool: str  # empty for whoever is not chosen by name

    @property
    def cluster(self) -> str:
        whom = f"sni_{self.pool}" if self.pool else "all"
        how = f"{self.algorithm}_proxy{self.protocol}"
        return f"relay_{self.listener.port}_{self.listener.target_port}_{whom}_{how}_ip{self.family}"

    @property
    def endpoints_file(self) -> str:
        return f"endpoints_{self.cluster}.json"


def ways(forwards: Iterable[Forward], addresses: Iterable[str]) -> dict[Way, tuple[Target, ...]]:
    """Every way that a connection may go on, and to whom."""
    found: dict[Way, tuple[Target, ...]] = {}
    for forward in forwards:
        relay = forward.relay or Relay()
        for address in addresses:
            found[_way(forward, address, "")] = forward.targets
            found |= {_way(forward, address, one.pool): one.targets for one in relay.names}
    return found


def listeners(
    forwards: Iterable[Forward], addresses: Sequence[str], ports: Mapping[Listener, int], folder: str
) -> list[dict[str, Any]]:
    """One for each of *forwards* at each address of the VIP."""
    return [
        _listener(forward, address, ports[forward.listener], folder) for forward in forwards for address in addresses
    ]


def clusters(every: Iterable[Way], folder: str) -> list[dict[str, Any]]:
    """All that connections go on by."""
    return [_cluster(way, folder) for way in every]


def endpoints_file(way: Way, targets: Sequence[Target]) -> File:
    """Who is in a cluster."""
    ends = [_end(way, target) for target in targets]
    resource = {"cluster_name": way.cluster, "endpoints": [{"lb_endpoints": ends}]}
    return file(way.endpoints_file, ENDPOINTS, [resource], f"cluster.{way.cluster}.version_text")


def _way(forward: Forward, address: str, pool: str) -> Way:
    protocol = forward.relay.protocol if forward.relay else 0
    return Way(forward.listener, 6 if ":" in address else 4, forward.algorithm, protocol, pool)


def _listener(forward: Forward, address: str, port: int, folder: str) -> dict[str, Any]:
    relay = forward.relay or Relay()
    label = forward.listener.label
    pools = dict.fromkeys(one.pool for one in relay.names)
    named = [
        {
            "filter_chain_match": {"server_names": [one.pattern]},
            "filters": _filters(forward, address, one.pool, f"{label} sni {one.pattern}", folder),
        }
        for one in relay.names
    ]
    others = {"filters": _filters(forward, address, "", label, folder)}
    return {
        "name": f"relay_{forward.listener.port}_ip{6 if ':' in address else 4}",
        "address": {"socket_address": {"address": address, "port_value": port}},
        "freebind": True,
        "tcp_backlog_size": 4096,
        "listener_filters": [_ORIGINAL, *([HELLO] if pools else [])],
        "continue_on_listener_filters_timeout": True,  # who says nothing asks for no name
        **({"filter_chains": named} if named else {}),
        "default_filter_chain": others,
    }


def _filters(forward: Forward, address: str, pool: str, rule: str, folder: str) -> list[dict[str, Any]]:
    """The proxy, and before it what it hashes."""
    way = _way(forward, address, pool)
    fields = {**_FIELDS, "rule": rule.replace("%", "%%"), "read": " ".join(_reads(forward, way))}
    config: dict[str, Any] = {
        "@type": TCP_PROXY,
        "stat_prefix": way.cluster,
        "cluster": way.cluster,
        "idle_timeout": "0s",
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    "@type": FILE,
                    "path": f"{folder}/{names.LOG}",
                    "log_format": {"json_format": fields, "omit_empty_values": True},
                },
            }
        ],
        "access_log_options": {"flush_access_log_on_connected": True},
    }
    if forward.algorithm == "source_hash":
        config["hash_policy"] = [{"source_ip": {}}]
    if forward.algorithm == "maglev":
        config["hash_policy"] = [{"filter_state": {"key": _FLOW}}]
        return [_flow(), {"name": "relay", "typed_config": config}]
    return [{"name": "relay", "typed_config": config}]


def _flow() -> dict[str, Any]:
    """Puts both ends of the connection where the proxy hashes them from."""
    text = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS%"
    value = {"object_key": _FLOW, "format_string": {"text_format_source": {"inline_string": text}}}
    return {
        "name": "flow",
        "typed_config": {
            "@type": f"{TYPES}envoy.extensions.filters.network.set_filter_state.v3.Config",
            "on_new_connection": [value],
        },
    }


def _reads(forward: Forward, way: Way) -> list[str]:
    """What was looked at to choose: where the connection came to; by whom, for a hash; and the name in TLS."""
    ip = "ip6" if way.family == 6 else "ip"
    hashed = {"source_hash": [f"{ip}.src"], "maglev": [f"{ip}.src", "tcp.sport"]}.get(forward.algorithm, [])
    named = ["tls.sni"] if forward.relay and forward.relay.names else []
    return [f"{ip}.dst", "tcp.dport", *hashed, *named]


def _cluster(way: Way, folder: str) -> dict[str, Any]:
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), NO_LIMIT)
    made: dict[str, Any] = {
        "name": way.cluster,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": source(folder, way.endpoints_file)},
        "connect_timeout": f"{CONNECT_SECONDS}s",
        "lb_policy": _POLICIES[way.algorithm],
        "circuit_breakers": {"thresholds": [limits]},
    }
    if way.protocol:
        made["transport_socket"] = {
            "name": "proxy_protocol",
            "typed_config": {
                "@type": f"{TYPES}envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
                "config": {"version": f"V{way.protocol}"},
                "transport_socket": {
                    "name": "raw",
                    "typed_config": {"@type": f"{TYPES}envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
                },
            },
        }
    return made


def _end(way: Way, target: Target) -> dict[str, Any]:
    """Named, so that the log says who it was."""
    address = target.address6 if way.family == 6 and target.address6 else target.address4
    where = {"socket_address": {"address": address, "port_value": way.listener.target_port}}
    return {"endpoint": {"address": where, "hostname": target.name}, "load_balancing_weight": target.weight}
