"""What of a route's work Envoy's own filters leave to do, as scripts for that route. Pure.

One runs before the place of a session is looked up, one after it; only routes that need them have them.
"""

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from labkit.balancer.l7.forwarded import Forwarded
from labkit.balancer.l7.route import Route
from labkit.balancer.policy import L7Policy

from . import edits, lua, names, paths, sessions
from .edge import largest_body


def before(
    policy: L7Policy, route: Route, reach: names.Reach, place: names.Place, *, upgrading: bool
) -> dict[str, Any] | None:
    """The script before the session's place is looked up: how much it is, what was asked, who passed it on, what its
    cookie says."""
    targets, most = policy.pools[reach.pool], largest_body(policy, route)
    asked = ["" if most is None or upgrading else _LARGEST.replace("$MOST", str(most))]
    asked.append(paths.REMEMBERED if route.rewrite else "")
    asked.append(_forwarded(policy.forwarded, place) if policy.forwarded and policy.forwarded.trust else "")
    asked.append(sessions.request_lines(policy.sticky, reach, targets) if policy.sticky else "")
    answered = [sessions.response_lines(policy.sticky, reach, targets) if policy.sticky else ""]
    return _script(asked, answered)


def remembering() -> dict[str, Any]:
    """The script before an answer that takes the path's place: the log is to have what was asked."""
    return lua.whole(_function("request", paths.REMEMBERED))


def after(policy: L7Policy) -> dict[str, Any] | None:
    """The script after it: the backend does not get what is the balancer's own."""
    return _script([sessions.forgotten(policy.sticky)], []) if policy.sticky else None


def _script(asked: Sequence[str], answered: Sequence[str]) -> dict[str, Any] | None:
    request, response = "".join(asked), "".join(answered)
    parts = []
    if request:
        parts.append(_function("request", request))
    if response:
        parts.append(_function("response", response))
    return lua.whole("\n".join([*([_UNBASE64] if response else []), *parts])) if parts else None


def _function(way: str, lines: str) -> str:
    return f"function envoy_on_{way}(handle)\n  local headers = handle:headers()\n{lines}end\n"


def _forwarded(forwarded: Forwarded, place: names.Place) -> str:
    """X-Forwarded-* and Forwarded, made new or, of a client that is trusted, added to."""
    trusted = ", ".join(_network(network) for network in forwarded.trust if ":" not in network)
    exact = ", ".join(f'["{network.partition("/")[0]}"] = true' for network in forwarded.trust if ":" in network)
    text = _FORWARDED.replace("$TRUSTED", trusted).replace("$EXACT", exact)
    text = text.replace("$SAID_PROTO", edits.SAID_PROTO).replace(
        "$SCHEME", "https" if place.listener.protocol == "https" else "http"
    )
    for style in ("x", "rfc7239"):
        text = text.replace(f"${style}", "true" if forwarded.style in (style, "both") else "false")
    return text


def _network(network: str) -> str:
    """An IPv4 network as its first address and how many it has."""
    found = ip_network(network)
    return f"{{{int(found.network_address)}, {found.num_addresses}}}"


# The filter that holds bodies counts all but the last piece, which in HTTP/2 may be the whole, and says how long it is.
_LARGEST = """
  if (tonumber(headers:get("content-length")) or 0) > $MOST then
    return handle:respond({[":status"] = "413", ["content-type"] = "text/plain; charset=utf-8"},
                          "413 Content Too Large: this route takes bodies of $MOST bytes at most\\n")
  end
"""
_FORWARDED = r"""
  local client = handle:streamInfo():downstreamDirectRemoteAddress()
  client = client:match("^%[(.*)%]:%d+$") or client:match("^([^:]*):%d+$") or client
  local trusted = ({$EXACT})[client] or false
  local a, b, c, d = client:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  if a ~= nil then
    local number = ((a * 256 + b) * 256 + c) * 256 + d
    for _, network in ipairs({$TRUSTED}) do
      if number >= network[1] and number < network[1] + network[2] then trusted = true end
    end
  end
  local function put(name, value, adds, kept)
    local said = trusted and headers:get(kept or name) or nil
    if said ~= nil and said ~= "" then value = adds and (said .. ", " .. value) or said end
    headers:replace(name, value)
  end
  local host = headers:get(":authority") or ""
  if $x then
    put("x-forwarded-for", client, true)
    put("x-forwarded-proto", "$SCHEME", false, "$SAID_PROTO")
    put("x-forwarded-host", host, false)
  else
    for _, name in ipairs({"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}) do headers:remove(name) end
  end
  if $rfc7239 then
    local node = client:find(":", 1, true) and ('"[' .. client .. ']"') or client
    put("forwarded", "for=" .. node .. ';proto=$SCHEME;host="' .. host .. '"', true)
  else
    headers:remove("forwarded")
  end
"""
_UNBASE64 = r"""
local LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local function unbase64(text)
  local bits, count, found = 0, 0, {}
  for letter in text:gmatch("[%w+/]") do
    bits, count = bits * 64 + LETTERS:find(letter, 1, true) - 1, count + 6
    if count >= 8 then
      count = count - 8
      found[#found + 1] = string.char(math.floor(bits / 2 ^ count))
      bits = bits % 2 ^ count
    end
  end
  return table.concat(found)
end
"""
