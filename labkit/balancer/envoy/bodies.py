"""Conditions on bodies: a script takes what routes ask for out of a body, and puts it into header fields of ours.

It runs before the route is chosen, where any route of a policy looks into bodies. It waits for bodies of up to 64 KiB;
a longer one, or an upgrade, has nothing to look into. Routes then ask for those fields like for any others. The fields
are taken out before the request goes on, and whoever sends such a field himself sends it in vain.
"""

from collections.abc import Iterator

from labkit.balancer.l7.patterns import Regex, Test, Tests
from labkit.balancer.l7.request import HELD_BODY
from labkit.balancer.l7.route import Route
from labkit.balancer.policy import L7Policy

PREFIX = "x-labkit-body-"
_INEXACT = 10**15  # whole numbers from here on are compared digit by digit: not all of them are exact as Lua's numbers


def fields(route: Route) -> Tests:
    """The conditions of *route* on its body, as conditions on our fields."""
    return tuple(_fields(route))


def names(policy: L7Policy) -> list[str]:
    """All fields of ours that the routes of *policy* ask for."""
    return list(dict.fromkeys(name for route in policy.routes for name, _ in fields(route)))


def script(policy: L7Policy) -> str | None:
    """The script for the routes of *policy*; None if none looks into bodies."""
    if not names(policy):
        return None
    wanted = [f"look({_lua(kind)}, {_lua(place)})" for kind, place in dict.fromkeys(_wanted(policy))]
    removed = "\n  ".join(f"headers:remove({_lua(name)})" for name in names(policy))
    return (
        _SCRIPT.replace("$WANTED", "\n  ".join(wanted))
        .replace("$REMOVED", removed)
        .replace("$MOST", str(HELD_BODY))
        .replace("$PREFIX", PREFIX)
    )


def name_of(kind: str, place: str) -> str:
    """The field that says what is at *place*: a JSON field, a form's field, or whether a text is there."""
    return f"{PREFIX}{kind}-{place.encode().hex()}"


def _fields(route: Route) -> Iterator[tuple[str, Test]]:
    for place, wish in route.json:
        yield name_of("json", place), _kind_and_value(wish)
    for place, test in route.form:
        yield name_of("form", place), _kind_and_value(test)
    if route.body is not None:
        yield name_of("text", route.body), "1"


def _kind_and_value(wish: object) -> Test:
    """As the script writes a value: its kind, and the value; in hexadecimal where no header field can hold it."""
    if isinstance(wish, bool):
        return wish
    if isinstance(wish, Regex):
        return Regex(f"s:(?:{wish.pattern})")
    if isinstance(wish, str):
        return f"h:{f's:{wish}'.encode().hex()}" if set(wish) & set("\0\r\n") else f"s:{wish}"
    assert isinstance(wish, int | float)
    return f"n:{wish}" if isinstance(wish, int) and abs(wish) >= _INEXACT else f"n:{wish + 0.0:.17g}"


def _wanted(policy: L7Policy) -> Iterator[tuple[str, str]]:
    for route in policy.routes:
        yield from (("json", place) for place, _ in route.json)
        yield from (("form", place) for place, _ in route.form)
        if route.body is not None:
            yield "text", route.body


def _lua(text: str) -> str:
    """*text* as a string of Lua's: what means something there, or as our placeholder, is written as numbers."""
    return (
        '"' + "".join(chr(b) if 32 <= b < 127 and b not in (34, 36, 92) else f"\\{b:03d}" for b in text.encode()) + '"'
    )


_SCRIPT = r"""
local function decoded(text)
  local plain = text:gsub("+", " ")
  return (plain:gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end))
end

local function hex(text)
  return (text:gsub(".", function(character) return string.format("%02x", character:byte()) end))
end

local function form(body)
  local found = {}
  for part in (body .. "&"):gmatch("([^&]*)&") do
    local name, value = part:match("^([^=]*)=?(.*)$")
    name = decoded(name)
    if name ~= "" and found[name] == nil then found[name] = "s:" .. decoded(value) end
  end
  return found
end

local ESCAPES = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/"}

local function utf8(code)
  if code < 128 then return string.char(code) end
  if code < 2048 then return string.char(192 + math.floor(code / 64), 128 + code % 64) end
  if code < 65536 then
    return string.char(224 + math.floor(code / 4096), 128 + math.floor(code / 64) % 64, 128 + code % 64)
  end
  return string.char(240 + math.floor(code / 262144), 128 + math.floor(code / 4096) % 64,
                     128 + math.floor(code / 64) % 64, 128 + code % 64)
end

local function json(body)  -- the kinds of its values stand before them; what is no JSON raises
  local at, value = body:match("^\239\187\191()") or 1, nil
  local function skip() at = body:match("^[ \t\r\n]*()", at) end
  local function text()
    at = at + 1
    local parts = {}
    while true do
      local plain, next_at = body:match('^([^"\\%z\1-\31]*)()', at)
      parts[#parts + 1], at = plain, next_at
      local mark = body:sub(at, at)
      if mark == '"' then at = at + 1; return table.concat(parts) end
      if mark ~= "\\" then error("string") end
      local kind = body:sub(at + 1, at + 1)
      if kind == "u" then
        local code = tonumber(body:match("^%x%x%x%x", at + 2) or error("escape"), 16)
        at = at + 6
        if code >= 55296 and code < 56320 then
          local low = body:match("^\\u(%x%x%x%x)", at)
          if low and low:match("^[dD][c-fC-F]") then
            code = 65536 + (code - 55296) * 1024 + (tonumber(low, 16) - 56320)
            at = at + 6
          end
        end
        parts[#parts + 1] = utf8(code)
      else
        parts[#parts + 1] = ESCAPES[kind] or error("escape")
        at = at + 2
      end
    end
  end
  function value(depth)
    if depth > 200 then error("depth") end
    skip()
    local mark = body:sub(at, at)
    if mark == "{" then
      local found = {kind = "o", value = {}}
      at = at + 1; skip()
      if body:sub(at, at) == "}" then at = at + 1; return found end
      while true do
        skip()
        if body:sub(at, at) ~= '"' then error("name") end
        local name = text()
        skip()
        if body:sub(at, at) ~= ":" then error("colon") end
        at = at + 1
        found.value[name] = value(depth + 1)
        skip()
        mark = body:sub(at, at); at = at + 1
        if mark == "}" then return found end
        if mark ~= "," then error("object") end
      end
    elseif mark == "[" then
      at = at + 1; skip()
      if body:sub(at, at) == "]" then at = at + 1; return {kind = "a"} end
      while true do
        value(depth + 1); skip()
        mark = body:sub(at, at); at = at + 1
        if mark == "]" then return {kind = "a"} end
        if mark ~= "," then error("array") end
      end
    elseif mark == '"' then
      return {kind = "s", value = text()}
    end
    for word, kind in pairs({["true"] = "b", ["false"] = "b", ["null"] = "z"}) do
      if body:sub(at, at + #word - 1) == word then at = at + #word; return {kind = kind, value = word} end
    end
    local digits, next_at = body:match("^%-?(%d+)()", at)
    if digits == nil or digits:match("^0%d") then error("value") end
    local whole = true
    for _, more in ipairs({"^%.%d+()", "^[eE][+-]?%d+()"}) do
      local after = body:match(more, next_at)
      if after then next_at, whole = after, false end
    end
    local number = body:sub(at, next_at - 1)
    at = next_at
    if whole and #digits > 15 then return {kind = "n", value = number} end
    return {kind = "n", value = string.format("%.17g", tonumber(number) + 0)}
  end
  local found = value(0)
  skip()
  if at <= #body then error("rest") end
  return found
end

local function field(found, place)
  for name in (place .. "."):gmatch("([^.]*)%.") do
    if found == nil or found.kind ~= "o" then return nil end
    found = found.value[name]
  end
  return found
end

function envoy_on_request(handle)
  local headers = handle:headers()
  $REMOVED
  handle:clearRouteCache()  -- it was chosen with what the client may have written into those fields
  if headers:get("upgrade") ~= nil then return end
  local length = headers:get("content-length")
  if length ~= nil and (tonumber(length) or 0) > $MOST then return end
  local body = ""
  if length ~= nil or headers:get("transfer-encoding") ~= nil or headers:get(":method") ~= "GET" then
    local buffer = handle:body()
    if buffer ~= nil then
      if buffer:length() > $MOST then
        handle:respond({[":status"] = "413"}, "413 Content Too Large: $MOST bytes of a body in chunks are held\n")
        return
      end
      body = buffer:getBytes(0, buffer:length())
    end
    headers = handle:headers()  -- those of before the wait are not good any more
  end
  local kind = (headers:get("content-type") or ""):match("^%s*([^;%s]*)"):lower()
  local tree, parsed, asked = nil, false, nil
  local function look(what, place)
    local value = nil
    if what == "text" then
      if body:find(place, 1, true) then value = "1" end
    elseif what == "form" then
      if kind == "application/x-www-form-urlencoded" then
        asked = asked or form(body)
        value = asked[place]
      end
    elseif kind == "application/json" or kind:sub(-5) == "+json" then
      if not parsed then
        local good, result = pcall(json, body)
        tree, parsed = good and result or nil, true
      end
      local found = field(tree, place)
      if found then value = found.kind .. ":" .. (type(found.value) == "string" and found.value or "") end
    end
    if value ~= nil then
      if value:find("[%z\r\n]") then value = "h:" .. hex(value) end
      headers:add("$PREFIX" .. what .. "-" .. hex(place), value)
    end
  end
  $WANTED
  handle:clearRouteCache()
end
"""
