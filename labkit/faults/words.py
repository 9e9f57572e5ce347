"""What each fault does and what it shows, in sentences: pure text, for people and for the recording."""

BACKEND_KILLED = (
    "the server of {backend} was killed in the middle of its connections. Its host lives: its kernel ends them "
    "(FIN, or RST where something was left unread) and refuses new ones.",
    "a FIN or RST from {backend} that no request asked for, an RST to whatever the client sends afterwards, and at L4 "
    "an RST to every new SYN that the choice sends there, as long as it is among the rules' choices.",
)
BACKEND_SILENT = (
    "the host {backend} fell silent, as in a power cut: it takes nothing and says nothing, not even an RST.",
    "segments that are sent again and again, each time after twice the wait, with the same sequence number; and "
    "no packet from {backend}.",
)
ALL_DOWN_RESET = (
    "no backend is left: all servers were killed, and lb refuses what it would forward, with RST (TCP) or an ICMP "
    'port unreachable (UDP). The client knows at once. (What style="dsr" passes on directly, lb cannot refuse: the '
    "hosts of the dead servers do.)",
    "a SYN at lb:front answered by an RST from the VIP within a round trip, and none of it at lb:back (with "
    'style="dsr" the SYN is at lb:back, and the RST comes over the router).',
)
ALL_DOWN_DROP = (
    "no backend is left: all servers were killed, and lb drops what it would forward without a word. The client "
    "waits until it gives up.",
    "the same SYN at lb:front again and again, about each second at first (tcp_syn_linear_timeouts), then in waits "
    "that double; no answer, and none of it at lb:back.",
)
CONNTRACK_FULL = (
    "the connection table of lb is full but for {room} more at a time: first packets of new connections are dropped, "
    "those it knows go on. (A rule with `ct count` does it: the kernel's own limit, nf_conntrack_max, "
    "is the whole machine's and cannot be written without root.)",
    "SYNs at lb:front that are sent again and never reach lb:back, while an older connection carries data.",
)
PORTS_EXHAUSTED = (
    "full NAT with the source ports {first} to {last} alone: lb puts its own address and one of them in the place of "
    "the client's. So many connections ({ports}) can be open to one port of one backend; the next has no tuple left, "
    "and the kernel drops its first packet.",
    "at lb:back the client's address replaced by lb's, and no port but {first} to {last}; SYNs at lb:front that are "
    "sent again and never reach lb:back.",
)
SMALL_MTU = (
    "packets of more than {mtu} bytes do not fit on the way out of lb onto {link}, and the hosts on the other side do "
    "not know. lb drops them and says so by ICMP (fragmentation needed, packet too big), so they learn and send less.",
    "full-sized segments at lb:{side} that are dropped, ICMP from lb to who sent them with the MTU {mtu} in it, then "
    "the same bytes again in segments that fit.",
)
BLACK_HOLE = (
    "packets of more than {mtu} bytes do not fit on the way out of lb onto {link}, and the ICMP that would say so is "
    "dropped: a path MTU black hole. Handshakes and small messages pass, large ones never arrive.",
    "a handshake that completes, then full-sized segments at lb:{side} that are sent again and again, never seen at "
    "lb:{link}, and no ICMP at all.",
)
