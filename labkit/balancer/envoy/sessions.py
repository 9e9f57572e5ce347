"""Sessions that stay with their backend: Envoy's own filter finds the place, a script carries it in cookies. Pure."""

import re
from collections.abc import Sequence
from typing import Any

from labkit.balancer.l7.sticky import MARK, Sticky
from labkit.balancer.policy import Target

from . import names
from .clusters import address_of
from .discovery import TYPES

PLACE = "x-labkit-place"  # between the script and the filter
_STATE = f"{TYPES}envoy.extensions.http.stateful_session."


def session_filter(sticky: Sticky, *, secure: bool) -> dict[str, Any]:
    """A route's part of the filter that keeps sessions."""
    if sticky.application:
        state: dict[str, Any] = {"@type": f"{_STATE}header.v3.HeaderBasedSessionState", "name": PLACE}
        kind = "header"
    else:
        attributes = [{"name": "SameSite", "value": "Lax"}, *([{"name": "Secure", "value": ""}] if secure else [])]
        cookie = {"name": sticky.cookie, "path": "/", "attributes": attributes}
        state, kind = {"@type": f"{_STATE}cookie.v3.CookieBasedSessionState", "cookie": cookie}, "cookie"
    return {
        "@type": f"{TYPES}envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
        "stateful_session": {"session_state": {"name": f"envoy.http.stateful_session.{kind}", "typed_config": state}},
    }


def request_lines(sticky: Sticky, reach: names.Reach, targets: Sequence[Target]) -> str:
    """What the script does with a request: the application's cookie says the place, and goes on as it was set."""
    if not sticky.application:
        return ""
    places = ", ".join(f'["{target.name}"] = "{_place(reach, target)}"' for target in targets)
    text = _REQUEST.replace("$CRUMBS", _CRUMBS).replace("$PLACES", places).replace("$PLACE", PLACE)
    return text.replace("$COOKIE", sticky.cookie)


def response_lines(sticky: Sticky, reach: names.Reach, targets: Sequence[Target]) -> str:
    """What it does with an answer: the application's cookie gets the name of its backend."""
    if not sticky.application:
        return ""
    owners = ", ".join(f'["{_place(reach, target)}"] = "{target.name}"' for target in targets)
    cookie = re.sub(r"([^A-Za-z0-9])", r"%\1", sticky.cookie)  # in a pattern of Lua's
    return _RESPONSE.replace("$OWNERS", owners).replace("$PLACE", PLACE).replace("$COOKIE", cookie)


def forgotten(sticky: Sticky) -> str:
    """What it does after the place was found: the backend gets neither the balancer's own cookie nor the place."""
    if sticky.application:
        return f'  headers:remove("{PLACE}")\n'
    return _FORGOTTEN.replace("$CRUMBS", _CRUMBS).replace("$COOKIE", sticky.cookie)


def _place(reach: names.Reach, target: Target) -> str:
    address = address_of(reach, target)
    return f"[{address}]:{reach.port}" if ":" in address else f"{address}:{reach.port}"


_CRUMBS = r"""  local lines = {}  -- of Cookie: there may be several
  for number = 0, headers:getNumValues("cookie") - 1 do lines[#lines + 1] = headers:getAtIndex("cookie", number) end
  headers:remove("cookie")"""
_REQUEST = (
    r"""
  headers:remove("$PLACE")
  local places = {$PLACES}
$CRUMBS
  local crumbs = {}
  if #lines > 0 then
    for crumb in (table.concat(lines, ";") .. ";"):gmatch("[ \t]*([^;]-)[ \t]*;") do
      local name, value = crumb:match("^([^=]*)=(.*)$")
      if name == "$COOKIE" then
        local owner, own = value:match("^\"?([^"""
    + MARK
    + r"""]*)"""
    + MARK
    + r"""(.*)$")
        if owner ~= nil then
          if places[owner] ~= nil then headers:replace("$PLACE", handle:base64Escape(places[owner])) end
          crumb = name .. "=" .. (value:sub(1, 1) == '"' and '"' or "") .. own
        end
      end
      if crumb ~= "" then crumbs[#crumbs + 1] = crumb end
    end
    if #crumbs > 0 then headers:add("cookie", table.concat(crumbs, "; ")) end
  end
"""
)
_RESPONSE = r"""
  local owners = {$OWNERS}
  local owner = nil
  local said = headers:get("$PLACE")
  if said ~= nil then owner = owners[unbase64(said)] end
  headers:remove("$PLACE")
  local cookies, count = {}, headers:getNumValues("set-cookie")
  for number = 0, count - 1 do cookies[#cookies + 1] = headers:getAtIndex("set-cookie", number) end
  if owner ~= nil and count > 0 then
    headers:remove("set-cookie")
    for _, cookie in ipairs(cookies) do
      local start, value = cookie:match("^([ \t]*$COOKIE[ \t]*=[ \t]*\"?)([^\"; \t].*)$")
      headers:add("set-cookie", start and (start .. owner .. "~" .. value) or cookie)
    end
  end
"""
_FORGOTTEN = r"""
$CRUMBS
  local crumbs = {}
  if #lines > 0 then
    for crumb in (table.concat(lines, ";") .. ";"):gmatch("[ \t]*([^;]-)[ \t]*;") do
      if crumb ~= "" and crumb:match("^[^=]*") ~= "$COOKIE" then crumbs[#crumbs + 1] = crumb end
    end
    if #crumbs > 0 then headers:add("cookie", table.concat(crumbs, "; ")) end
  end
"""
