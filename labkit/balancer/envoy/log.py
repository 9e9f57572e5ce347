"""What Envoy writes of each request: one line of JSON, with short keys, since there may be very many.

`requests` reads them. What Envoy's log cannot tell is not in it: all headers (only those listed here), which case their
names had, HTTP/2 stream numbers, and an absolute-form target's authority apart from Host.
"""

from typing import Any

from .discovery import TYPES
from .paths import SAID

FILE = f"{TYPES}envoy.extensions.access_loggers.file.v3.FileAccessLog"
HEADERS = (
    "user-agent", "accept", "accept-encoding", "accept-language", "authorization", "content-type", "content-length",
    "cookie", "origin", "referer", "upgrade", "x-api-key", "x-forwarded-for", "x-request-id",
)  # fmt: skip

_FIELDS = {
    "kind": "%ACCESS_LOG_TYPE%",
    "began": "%START_TIME(%s%9f)%",
    "asked": "%COMMON_DURATION(DS_RX_BEG:DS_RX_END:ns)%",
    "answering": "%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:ns)%",
    "heard": "%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:ns)%",
    "answered": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%",
    "front": "%CONNECTION_ID%",
    "client": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "server": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    "sni": "%REQUESTED_SERVER_NAME%",
    "certificate": "%DOWNSTREAM_PEER_DNS_SAN%",
    "issued": "%DOWNSTREAM_PEER_SERIAL%",
    "method": "%REQ(:METHOD)%",
    "target": "%REQ(:PATH)%",
    "said": SAID,
    "host": "%REQ(:AUTHORITY)%",
    "version": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "route": "%ROUTE_NAME%",
    "body": "%BYTES_RECEIVED%",
    "backend": "%UPSTREAM_HOST_NAME_WITHOUT_PORT%",
    "back": "%UPSTREAM_CONNECTION_ID%",
    "back_client": "%UPSTREAM_LOCAL_ADDRESS%",
    "back_server": "%UPSTREAM_REMOTE_ADDRESS%",
    "back_tls": "%UPSTREAM_TLS_VERSION%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "trailing": "%CONNECTION_TERMINATION_DETAILS%",
}


def requests(path: str) -> dict[str, Any]:
    """The log of a listener."""
    headers = {name: f"%REQ({name})%" for name in HEADERS}
    return _to(path, {**_FIELDS, "headers": headers})


def fence(path: str) -> dict[str, Any]:
    """The log of the fence: what was asked for there."""
    return _to(path, {"fence": "%REQ(:PATH)%"})


def _to(path: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "file",
        "typed_config": {"@type": FILE, "path": path, "log_format": {"json_format": fields, "omit_empty_values": True}},
    }
