"""What comes before any route: a request at the wrong door is sent elsewhere, or refused. Pure.

The same answers as `labkit.balancer.l7.tls.at_the_door` gives, by a script that knows the handshake: which name was
asked for, and what certificate was shown.
"""

from typing import Any

from labkit.balancer.l7.auth import ClientCertificate
from labkit.balancer.l7.tls import Tls
from labkit.balancer.policy import L7Policy

from . import names


def script(policy: L7Policy, place: names.Place) -> str | None:
    """The script for what comes in at *place*; None if every request may go on to the routes."""
    tls = policy.tls
    if tls is None:
        return None
    if place.listener.protocol != "https":
        return (
            _begun(_REDIRECT.replace("$PORT", "" if policy.https_port == 443 else f":{policy.https_port}"))
            if tls.redirect
            else None
        )
    lines = (_REQUIRED if tls.clients == "required" else "") + (_names(tls) if tls.names else "")
    return _begun(lines) if lines else None


def redirects(policy: L7Policy, place: names.Place) -> bool:
    """Whether all that comes in at *place* is sent elsewhere."""
    return policy.tls is not None and policy.tls.redirect and place.listener.protocol != "https"


def certificate(auth: ClientCertificate) -> str:
    """The script by which a route judges the client's certificate."""
    named = ", ".join(f'["{name}"] = true' for name in auth.names)
    user = f'headers:replace("{auth.user}", known)' if auth.user else ""
    text = _CERTIFICATE.replace("$NAMED", named).replace("$ANY", "false" if auth.names else "true")
    return _begun(text.replace("$USER", user).replace("$FORGET", f'headers:remove("{auth.user}")' if auth.user else ""))


def validation(tls: Tls | None, root: str) -> dict[str, Any]:
    """What the handshake asks of clients."""
    if tls is None or tls.clients is None:
        return {}
    return {"validation_context": {"trusted_ca": {"inline_string": root}}}


def _names(tls: Tls) -> str:
    return _MISDIRECTED.replace("$NAMES", ", ".join(f'["{name}"] = true' for name in tls.names))


def _begun(lines: str) -> str:
    return f"{_COMMON}\nfunction envoy_on_request(handle)\n  local headers = handle:headers()\n{lines}end\n"


_COMMON = r"""
local PHRASES = {["400"] = "Bad Request", ["308"] = "Permanent Redirect", ["403"] = "Forbidden",
                 ["421"] = "Misdirected Request"}

local function say(handle, status, reason, location)
  handle:respond({[":status"] = status, ["content-type"] = "text/plain; charset=utf-8", ["location"] = location},
                 status .. " " .. PHRASES[status] .. ": " .. reason .. "\n")
end

local function host_of(headers)
  local name = (headers:get(":authority") or ""):lower()
  return name:match("^(%[[^%]]*%])") or name:match("^([^:]*)")
end
"""
_REDIRECT = r"""
  local host = host_of(headers)
  if not (host:find("^[a-z0-9._-]+$") or host:find("^%[[0-9a-f:.]+%]$")) then
    return say(handle, "400", "requests in clear are sent to https://, and this one names no host to go to")
  end
  local path = headers:get(":path") or "/"
  if path == "*" then path = "/" elseif path:sub(1, 1) ~= "/" then path = "/" .. path end
  path = path:gsub("[^\33-\126]", function(byte) return string.format("%%%02X", byte:byte()) end)
  local where = "https://" .. host .. "$PORT" .. path
  say(handle, "308", "see " .. where, where)
"""
_REQUIRED = r"""
  local tls = handle:streamInfo():downstreamSslConnection()
  if tls == nil or not tls:peerCertificatePresented() then
    return say(handle, "421", "this connection began before certificates were asked for: open another one")
  end
"""
_MISDIRECTED = r"""
  local names = {$NAMES}
  local host, asked = host_of(headers), (handle:streamInfo():requestedServerName() or ""):lower()
  local served = names[asked] and asked or nil
  if host ~= "" and served ~= nil and host ~= served then
    return say(handle, "421", "the certificate of this connection is for " .. served .. ", not for " .. host)
  end
  if served == nil and names[host] then
    return say(handle, "421",
               host .. " has a certificate of its own, and this connection another: begin one with its SNI")
  end
"""
_CERTIFICATE = r"""
  $FORGET
  local tls = handle:streamInfo():downstreamSslConnection()
  if tls == nil or not tls:peerCertificatePresented() then
    return say(handle, "403", "this route asks for a client certificate of the lab's CA, and there is none here")
  end
  local named, known, all = {$NAMED}, nil, tls:dnsSansPeerCertificate() or {}
  for _, name in ipairs(all) do
    if known == nil and ($ANY or named[name:lower()]) then known = name end
  end
  if known == nil then
    local whose = #all > 0 and table.concat(all, ", ") or "nobody"
    return say(handle, "403", "the client's certificate is for " .. whose .. ", who may not ask here")
  end
  $USER
"""
