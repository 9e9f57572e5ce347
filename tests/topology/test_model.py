"""What a topology's values say of themselves."""

from labkit.topology import default


def test_a_mac_address_shows_the_ipv4_address() -> None:
    macs = [interface.mac for name in ("alice", "lb", "images2") for interface in default().node(name).interfaces]
    assert macs == ["02:00:0a:00:01:0b", "02:00:0a:00:01:0a", "02:00:0a:00:02:0a", "02:00:0a:00:02:16"]
