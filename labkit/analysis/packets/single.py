"""One frame as a scapy packet, only when a packet is asked for. Which bytes are which field is said by `dissection`.

A frame that scapy cannot dissect is still a packet: `Raw`, with its bytes.
"""

from typing import Any

from labkit.recording import Recording


def packet(recording: Recording, number: int) -> Any:
    """Packet *number* (from 1) as scapy sees it; IndexError outside the recording.

    Scapy's own attributes tell where it comes from: ``sniffed_on`` the vantage point, ``time`` in seconds,
    ``wirelen`` the bytes on the wire, which are more than were kept where the capture cut it short.
    """
    frame, row = recording.frame(number), recording.packets[number - 1]
    vantage = recording.vantages[int(row["vantage"])]
    shown = dissect(frame, vantage.link_type)
    shown.sniffed_on, shown.wirelen = vantage.name, int(row["original"])
    shown.time = int(row["time_ns"]) / 1e9
    return shown


def dissect(frame: bytes, link_type: int) -> Any:
    """*frame* dissected from its link layer on."""
    import scapy.layers.dns
    import scapy.layers.inet
    import scapy.layers.inet6
    import scapy.layers.l2  # noqa: F401  (each registers its layers)
    from scapy.config import conf
    from scapy.packet import Raw

    # Of no bytes scapy would make an empty form, and to fill that in ask the machine's own network for addresses.
    layer = conf.l2types.num2layer.get(link_type, Raw) if frame else Raw
    try:
        return layer(frame)
    except Exception:  # whatever a dissector makes of malformed bytes: the bytes are shown instead
        return Raw(frame)
