"""The inspecting L7 engine: mitmproxy's proxy core inside lb, watched and steered from outside.

`engine` is the owner's side and light; `task` runs in the node and is the only way to the modules that
import mitmproxy (`serving`, `connection`, `layers`, `router`). Python is slow: this engine shows what L7
does, never what L7 costs.
"""
