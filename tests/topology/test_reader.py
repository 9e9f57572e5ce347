"""Reading TOML: a whole file round-trips, and every kind of bad file gives one message with place and remedy."""

import os
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from labkit.errors import TopologyError
from labkit.topology import Listener, default, read
from labkit.topology.reader import MAX_BYTES

GOOD = """\
name = "three hosts"

[links.front]
subnets = ["192.168.7.0/24", "fd00:7::/64"]
[links.back]
subnets = ["192.168.8.0/24", "fd00:8::/64"]

[nodes.carol]
role = "client"
addresses = ["192.168.7.2", "fd00:7::2"]
[nodes.edge]
role = "balancer"
addresses = ["fd00:7::1", "192.168.7.1", "192.168.8.1", "fd00:8::1"]
[nodes.web1]
role = "backend"
addresses = ["192.168.8.2", "fd00:8::2"]

[pools]
web = ["web1"]

[[listeners]]
port = 80
[[listeners]]
port = 5300
protocol = "udp"
name = "dns"
backend_port = 53
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "lab.toml"
    path.write_text(text, encoding="utf-8")
    return path


def fault(folder: Path, old: str, new: str) -> str:
    """The message about the good file with *old* replaced by *new*, without the file's name."""
    assert old in GOOD
    path = write(folder, GOOD.replace(old, new, 1))
    with pytest.raises(TopologyError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_a_whole_file(tmp_path: Path) -> None:
    topology = read(write(tmp_path, GOOD))
    assert topology.name == "three hosts"
    assert topology.link("front").subnet4 == IPv4Network("192.168.7.0/24")
    assert [(node.name, node.role, node.address) for node in topology.nodes] == [
        ("carol", "client", "192.168.7.2"),
        ("edge", "balancer", "192.168.7.1"),
        ("web1", "backend", "192.168.8.2"),
    ]
    assert str(topology.vip6) == "fd00:7::1"
    assert topology.vantages == ("carol", "edge:front", "edge:back", "web1")
    assert topology.pools == {"web": ("web1",)}
    assert topology.listeners == (Listener(80), Listener(5300, "udp", "dns", 53))
    assert topology.source == str(tmp_path / "lab.toml")


def test_a_range_of_ports(tmp_path: Path) -> None:
    more = '[[listeners]]\nport = 8000\nthrough = 8009\nprotocol = "tcp"\n'
    listener = read(write(tmp_path, GOOD + more)).listeners[2]
    assert listener == Listener(8000, "tcp", through=8009)
    assert (listener.label, listener.ports_text, listener.last_port) == ("tcp-8000-8009", "8000-8009", 8009)


def test_ipv4_alone_and_defaults(tmp_path: Path) -> None:
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith("name = "))
    for address in ("fd00:7::/64", "fd00:8::/64", "fd00:7::2", "fd00:8::2", "fd00:8::1"):
        text = text.replace(f', "{address}"', "")
    text = text.replace('"fd00:7::1", ', "").replace('[pools]\nweb = ["web1"]\n', "")
    topology = read(write(tmp_path, text))
    assert topology.name == "lab"
    assert topology.vip6 is None
    assert topology.pools == {}


def test_the_documented_example_is_the_default_lab(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "topology.md"
    example = page.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    topology = read(write(tmp_path, example))
    assert replace(topology, source="the default lab") == default()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[links.front]", "[links.front", "this is not TOML: "),
        ("[nodes.web1]", "[nodes.carol]", "this is not TOML: Cannot declare ('nodes', 'carol') twice"),
        ('role = "client"', 'rule = "client"', "nodes.carol.rule: this key means nothing here; did you mean 'role'?"),
        ('role = "client"', "", "nodes.carol.role: this is missing; add 'role'"),
        ('role = "client"', "role = 3", "nodes.carol.role: text is wanted here, not a whole number; "),
        (
            'role = "client"',
            'role = "server"',
            "nodes.carol.role: server is no role; use 'client', 'balancer', 'router' or 'backend'.",
        ),
        ("[pools]", "[pool]", "pool: this key means nothing here; did you mean 'pools'?"),
        ('web = ["web1"]', 'web = "web1"', "pools.web: a list is wanted here, not text; "),
        ('web = ["web1"]', "web = [1]", "pools.web[0]: text is wanted here, not a whole number; "),
        ("port = 80", "port = true", "listeners[0].port: a whole number is wanted here, not true or false; "),
        ("port = 80", "port = 80\ntls = true", "listeners[0].tls: this key means nothing here; use port, protocol"),
        (
            '"192.168.7.0/24"',
            '"192.168.7.1/24"',
            "links.front.subnets[0]: 192.168.7.1/24 has host bits set; write a subnet",
        ),
        ('"192.168.7.0/24", ', "", "links.front.subnets: the link has no IPv4 subnet; add one"),
        ('"fd00:7::/64"', '"10.9.0.0/24"', "links.front.subnets[1]: the link has an IPv4 subnet already; keep one"),
        ('"192.168.7.2"', '"192.168.7.2/24"', "nodes.carol.addresses[0]: '192.168.7.2/24' is not an address; write an"),
        (
            '"192.168.7.2"',
            '"192.168.9.2"',
            "nodes.carol.addresses[0]: 192.168.9.2 is in no link's subnet; use a host address of",
        ),
        (
            '"fd00:7::2"',
            '"192.168.7.3"',
            "nodes.carol.addresses[1]: carol has an IPv4 address on link 'front' already; ",
        ),
        ('"192.168.7.2", ', "", "nodes.carol.addresses: no IPv4 address on link 'front'; add one"),
        ('"192.168.8.2"', '"192.168.8.1"', "nodes.web1.addresses[0]: 192.168.8.1 is the address of 'edge' already; "),
        ('"fd00:8::2"', '"fd00:8::1"', "nodes.web1.addresses[1]: fd00:8::1 is the address of 'edge' already; "),
        ('"192.168.7.1"', '"192.168.7.255"', "nodes.edge.addresses[1]: 192.168.7.255 is the broadcast address of"),
        (
            "[nodes.carol]",
            '[nodes."carol;reboot"]',
            "nodes.'carol;reboot': 'carol;reboot' is not a name for a node; use at",
        ),
        ("[links.back]", '[links."../back"]', "links.'../back': '../back' is not a name for a link; "),
    ],
)
def test_faults_have_place_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert fault(tmp_path, old, new).startswith(message)


def test_missing_tables(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="links: this is missing; add 'links'"):
        read(write(tmp_path, ""))
    with pytest.raises(TopologyError, match="nodes: a table is wanted here, not a list"):
        read(write(tmp_path, "links = {}\nnodes = []"))
    with pytest.raises(TopologyError, match=r"listeners\[0\]: a table is wanted here, not a whole number"):
        read(write(tmp_path, "links = {}\nnodes = {}\nlisteners = [1]"))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r"absent\.toml: there is no such file; check its name"):
        read(tmp_path / "absent.toml")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="this is a directory; name a TOML file"):
        read(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TopologyError, match="this is not a regular file"):
        read(tmp_path / "pipe")


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(TopologyError, match="it cannot be read"):
        read("a\0b")


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(TopologyError, match="byte 11 is not UTF-8; save the file as UTF-8"):
        read(tmp_path / "lab.toml")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "lab.toml").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(TopologyError, match="the file has 4,000,001 bytes"):
        read(tmp_path / "lab.toml")


def test_deep_nesting_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="this is not TOML"):
        read(write(tmp_path, "name = " + "[" * 100_000))


def test_ten_thousand_hosts(tmp_path: Path) -> None:
    nodes = "".join(f"[nodes.c{number}]\nrole='client'\naddresses=[]\n" for number in range(10_000))
    with pytest.raises(TopologyError, match="nodes: 10,000 nodes are more than one machine carries; use at most 1,000"):
        read(write(tmp_path, "links = {}\n" + nodes))


def test_paths_may_be_odd(tmp_path: Path) -> None:
    folder = tmp_path / "a b;c"
    folder.mkdir()
    assert read(str(write(folder, GOOD))).balancer.name == "edge"
