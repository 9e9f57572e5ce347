"""Paths as `labkit.balancer.l7.paths` normalizes them, in Envoy's terms.

Envoy matches the target as it was received. Most are normalized already: no escape, no dot segment, no byte beyond
ASCII (`PLAIN_TARGET`). For the others a script puts the normalized target in place, has the route chosen, and puts the
received one back: it goes on as it came. Where a route rewrites or redirects, what its path caught is a piece of the
normalized one, which stays in place for that; what was received is left for the log (`SAID`).
"""

import re

from labkit.balancer.l7.paths import unescaped
from labkit.balancer.l7.patterns import Regex

PLAIN_TARGET = r"[^?%/\x80-\xff]*(/([^?%/.\x80-\xff][^?%/\x80-\xff]*)?)*(\?.*)?"

SAID = "%DYNAMIC_METADATA(labkit:target)%"  # the target as received, where another path has taken its place
REMEMBERED = """
  local noted = handle:streamInfo():dynamicMetadata()
  if noted:get("labkit") == nil then noted:set("labkit", "target", headers:get(":path")) end
"""
REWRITES = "rewrites"  # in the metadata of routes that put another path in place of the normalized one

_SCRIPT = r"""
local function plain(escape)
  local byte = tonumber(escape:sub(2), 16)
  local character = string.char(byte)
  if byte < 128 and character:match("[%w%-%._~]") then return character end
  return escape:upper()
end

local function normalized(path)
  path = path:gsub("[\128-\255]", function(byte) return string.format("%%%02X", byte:byte()) end)
  path = path:gsub("%%%x%x", plain)
  local kept, last = {}, nil
  for segment in path:sub(2):gmatch("([^/]*)/") do
    if segment == ".." then kept[#kept] = nil
    elseif segment ~= "." then kept[#kept + 1] = segment end
  end
  last = path:match("([^/]*)$")
  if last == ".." then kept[#kept] = nil end
  if last == "." or last == ".." then last = "" end
  kept[#kept + 1] = last
  return "/" .. table.concat(kept, "/")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local target = headers:get(":path")
  if target == nil or target:sub(1, 1) ~= "/" then return end
  local path, rest = target:match("^([^?#]*)(.*)$")
  headers:replace(":path", normalized(path) .. rest)
  handle:clearRouteCache()
  if handle:metadata():get("$REWRITES") then  -- asking has the route chosen
    handle:streamInfo():dynamicMetadata():set("labkit", "target", target)
  else
    headers:replace(":path", target)
  end
end
"""


SCRIPT = _SCRIPT.replace("$REWRITES", REWRITES)


def path_match(pattern: str | Regex) -> dict[str, object]:
    """How Envoy matches what `matches` matches: ``*`` is any run of characters."""
    if isinstance(pattern, Regex):
        return {"safe_regex": {"regex": pattern.pattern or "(?:)"}}
    first, *rest = unescaped(pattern).split("*")
    if not rest:
        return {"path": first}
    if rest == [""]:
        return {"prefix": first}
    between = [re.sub(r"([^A-Za-z0-9/_-])", r"\\\1", piece) for piece in (first, *rest)]
    return {"safe_regex": {"regex": "(?s)" + ".*".join(between)}}
