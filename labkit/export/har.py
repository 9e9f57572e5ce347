"""HAR 1.2 of mitmproxy's flows, made by mitmproxy's own `savehar`, and set right where that is looser than the format.

The format: http://www.softwareishard.com/blog/har-12-spec/.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from mitmproxy.addons.savehar import SaveHar
from mitmproxy.http import HTTPFlow

_NONE = -1  # HAR's "does not apply" and "not available"


def har(flows: Iterable[HTTPFlow], comment: str = "") -> Iterator[bytes]:
    """The file, piece by piece. comment: of the whole log; each flow's own stands at its entry."""
    saver, seen = SaveHar(), set()  # type: ignore[var-annotated]
    log = saver.make_har([])["log"]
    log["creator"]["comment"] = "of a labkit capture"
    log["comment"] = comment
    del log["entries"]
    head = json.dumps(log, indent=1).rstrip("}\n ")
    yield f'{{"log": {head},\n "entries": ['.encode()
    for number, flow in enumerate(flows):
        entry = _entry(saver.flow_entry(flow, seen), flow)
        yield f"{',' if number else ''}\n{json.dumps(entry)}".encode()
    yield b"\n]}}\n"


def _entry(entry: dict[str, Any], flow: HTTPFlow) -> dict[str, Any]:
    _set_times_right(entry, ended=flow.metadata.get("labkit.back_connection") is not None)
    request, response = entry["request"], entry["response"]
    if "postData" in request:
        request["postData"]["text"] = request["postData"]["text"] or ""
    if flow.request.raw_content is None:
        request["bodySize"] = _NONE
    if flow.response is None:
        response["content"] = {"size": 0, "mimeType": "x-unknown"}
    else:
        content = response["content"]
        content["size"] += content["compression"]
        if flow.response.raw_content is None:
            response["bodySize"] = _NONE
            del content["text"]
    if connection := flow.metadata.get("labkit.front_connection"):
        entry["connection"] = str(connection)
    entry["comment"] = flow.comment
    return entry


def _set_times_right(entry: dict[str, Any], *, ended: bool) -> None:
    """HAR's phases follow one another, and none is negative: an answer may begin before its request is over.

    ended: where a proxy ends the client's connection, the one to the backend opens while the client waits.
    """
    timings = entry["timings"]
    for name in ("send", "wait", "receive"):
        timings[name] = max(0, timings[name])
    if ended:
        timings["connect"] = timings["ssl"] = _NONE
    elif timings["ssl"] >= 0:
        timings["connect"] += timings["ssl"]
    entry["time"] = sum(max(0, timings[name]) for name in ("connect", "send", "wait", "receive"))
