"""Where things stand in a TPACKET_V3 ring (linux/if_packet.h): offsets in bytes from the start of a block or packet.

A *chunk* is what travels from a tap to its owner: one retired block just as the kernel wrote it, from its descriptor to
its last packet. Numbers are in the machine's own byte order, for ring and reader share the machine.
"""

from typing import Final

# struct tpacket_block_desc, of struct tpacket_bd_header_u.bh1
BLOCK_STATUS: Final = 8
BLOCK_PACKETS: Final = 12
BLOCK_FIRST: Final = 16  # offset of the first packet
BLOCK_LENGTH: Final = 20  # bytes in use, the descriptor included
BLOCK_FIRST_TIME: Final = 32  # of the first packet: seconds, nanoseconds
BLOCK_LAST_TIME: Final = 40
BLOCK_HEADER: Final = 48

# struct tpacket3_hdr, then struct sockaddr_ll
PACKET_NEXT: Final = 0
PACKET_SECONDS: Final = 4
PACKET_NANOSECONDS: Final = 8
PACKET_CAPTURED: Final = 12
PACKET_ORIGINAL: Final = 16
PACKET_STATUS: Final = 20
PACKET_MAC: Final = 24  # 16 bits: offset of the frame
PACKET_VLAN_TCI: Final = 32
PACKET_VLAN_TPID: Final = 36  # 16 bits
PACKET_TYPE: Final = 58  # 8 bits: sll_pkttype
PACKET_HEADER: Final = 68

STATUS_USER: Final = 1  # the block is the reader's
STATUS_VLAN_VALID: Final = 1 << 4
STATUS_VLAN_TPID_VALID: Final = 1 << 6
TYPE_OUTGOING: Final = 4
