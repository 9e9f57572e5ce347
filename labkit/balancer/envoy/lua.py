"""Scripts in Envoy: installed once, doing nothing, and given to routes and hosts that need one."""

from typing import Any

from .discovery import TYPES

_LUA = f"{TYPES}envoy.extensions.filters.http.lua.v3."
INSTALLED: dict[str, Any] = {"@type": f"{_LUA}Lua", "clear_route_cache": False}  # scripts say when


def whole(text: str) -> dict[str, Any]:
    """A script as a route's or a host's own."""
    return {"@type": f"{_LUA}LuaPerRoute", "source_code": {"inline_string": text}}
