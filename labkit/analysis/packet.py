"""One frame as a scapy packet. The only place of analysis where scapy is used, and only when a packet is asked for.

A frame that scapy cannot dissect is still a packet: `Raw`, with its bytes.
"""

import sys
from typing import Any

from labkit.recording import Recording


def packet(recording: Recording, number: int) -> Any:
    """Packet *number* (from 1) as scapy sees it; IndexError outside the recording."""
    frame = recording.frame(number)
    vantage = recording.vantages[int(recording.packets[number - 1]["vantage"])]
    return dissect(frame, vantage.link_type)


def dissect(frame: bytes, link_type: int) -> Any:
    """*frame* dissected from its link layer on."""
    import scapy.layers.dns
    import scapy.layers.inet
    import scapy.layers.inet6
    import scapy.layers.l2  # noqa: F401  (each registers its layers)
    from scapy.config import conf
    from scapy.packet import Packet, Raw

    _show_bytes_of(Packet)
    layer = conf.l2types.num2layer.get(link_type, Raw)
    try:
        return layer(frame)
    except Exception:  # whatever a dissector makes of malformed bytes: the bytes are shown instead
        return Raw(frame)


def page(shown: Any) -> str:
    """A packet for a notebook: its layers and its bytes, as HTML."""
    from html import escape

    from scapy.utils import hexdump

    style = "font-size:12px;line-height:1.35;overflow-x:auto"
    layers, raw = str(shown.show(dump=True)), str(hexdump(shown, dump=True))
    return f'<pre style="{style}">{escape(layers)}\n{escape(raw)}</pre>'


def _show_bytes_of(packet_class: Any) -> None:
    """Have a running IPython show packets by `page`."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(packet_class, page)
