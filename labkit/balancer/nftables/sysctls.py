"""Settings of lb's network namespace without which L4 would look worse, or better, than it is."""

from pathlib import Path

from labkit.errors import EngineError

# (path, value, whether forwarding is impossible without it)
SYSCTLS = (
    ("net/ipv4/ip_forward", "1", True),
    ("net/ipv6/conf/all/forwarding", "1", False),
    # A connection in TIME_WAIT holds its tuple for two minutes: new ones would soon find none free.
    ("net/netfilter/nf_conntrack_tcp_timeout_time_wait", "2", False),
    # One that was reset is kept with its backend for ten seconds: a client that uses the port again meanwhile would be
    # sent there, though it is out of rotation.
    ("net/netfilter/nf_conntrack_tcp_timeout_close", "1", False),
    # A late packet of a forgotten connection is not a new one: no backend is chosen for it.
    ("net/netfilter/nf_conntrack_tcp_loose", "0", False),
    # A packet outside the window is still translated; untranslated, lb itself would answer it with a reset.
    ("net/netfilter/nf_conntrack_tcp_be_liberal", "1", False),
    # Decisions get the kernel's own time, in nanoseconds.
    ("net/netfilter/nf_conntrack_timestamp", "1", False),
    # And every connection counts its packets and bytes.
    ("net/netfilter/nf_conntrack_acct", "1", False),
)


def apply(root: Path = Path("/proc/sys")) -> list[str]:
    """Set them all; returns those that cannot be set, with the reasons. EngineError if a needed one is among them."""
    refused = []
    for name, value, needed in SYSCTLS:
        path = root / name
        try:
            if path.read_text().strip() != value:
                path.write_text(value)
        except OSError as error:
            if needed:
                raise EngineError(f"lb cannot forward packets: {name} is not to be set ({error.strerror}).") from error
            refused.append(f"{name}: {error.strerror}")
    return refused
