"""What HAR 1.2 demands of a file (http://www.softwareishard.com/blog/har-12-spec/), as a check that names the place."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

NUMBER = (int, float)
PAIR = {"name": str, "value": str}
HEADED = {"httpVersion": str, "cookies": [PAIR], "headers": [PAIR], "headersSize": int, "bodySize": int}
REQUEST = {"method": str, "url": str, "queryString": [PAIR], **HEADED}
CONTENT = {"size": int, "mimeType": str}
RESPONSE = {"status": int, "statusText": str, "content": CONTENT, "redirectURL": str, **HEADED}
TIMINGS = {"send": NUMBER, "wait": NUMBER, "receive": NUMBER}
ENTRY = {
    "startedDateTime": str, "time": NUMBER, "request": REQUEST, "response": RESPONSE, "cache": {}, "timings": TIMINGS,
}  # fmt: skip
LOG = {"version": str, "creator": {"name": str, "version": str}, "entries": [ENTRY]}
OPTIONAL_TEXTS = ("comment", "connection", "serverIPAddress", "pageref", "mimeType", "text", "encoding")


def check(har: Any) -> None:
    """AssertionError where *har*, as parsed JSON, is none."""
    _check(har, {"log": LOG}, "har")
    assert har["log"]["version"] == "1.2"
    for entry in har["log"]["entries"]:
        assert datetime.fromisoformat(entry["startedDateTime"]).tzinfo is not None
        timings = entry["timings"]
        assert all(timings[name] >= 0 for name in TIMINGS), timings
        assert all(value == -1 or value >= 0 for value in timings.values()), timings
        phases = ("blocked", "dns", "connect", "send", "wait", "receive")
        assert abs(entry["time"] - sum(max(0, timings.get(name, -1)) for name in phases)) < 1e-6
        assert 0 <= timings.get("ssl", -1) <= timings["connect"] or timings.get("ssl", -1) == -1
        if "postData" in entry["request"]:
            _check(entry["request"]["postData"], {"mimeType": str, "text": str, "params": [PAIR]}, "postData")


def _check(value: Any, shape: Any, place: str) -> None:
    if isinstance(shape, Mapping):
        assert isinstance(value, dict), place
        for name, inside in shape.items():
            assert name in value, f"{place}.{name} is missing"
            _check(value[name], inside, f"{place}.{name}")
        for name in OPTIONAL_TEXTS:
            assert isinstance(value.get(name, ""), str), f"{place}.{name}"
    elif isinstance(shape, list):
        assert isinstance(value, list), place
        for number, each in enumerate(value):
            _check(each, shape[0], f"{place}[{number}]")
    else:
        assert isinstance(value, shape), f"{place} is {value!r}"
        assert not isinstance(value, bool), place
