"""A network is wired by one at a time, from whatever is there; tests/parity and tests/compose look at whole labs."""

import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import RuntimeUnavailable
from labkit.runtime.container import wire
from labkit.runtime.container.handing import Door
from labkit.runtime.container.order import find
from labkit.runtime.container.wire import alone
from labkit.runtime.network.netlink import IPRoute
from tests.taps.namespace import in_namespace


def test_who_comes_second_waits_until_the_first_is_done():
    order = []
    with alone():
        second = threading.Thread(target=lambda: wait_for_it(order))
        second.start()
        time.sleep(0.2)
        order.append("first")
    second.join(10)
    assert order == ["first", "second"]


def wait_for_it(order: list[str]) -> None:
    with alone():
        order.append("second")


def test_who_waits_too_long_says_so():
    with (
        alone(),
        pytest.raises(RuntimeUnavailable, match=r"somebody else has been wiring it for 0\.1 s"),
        alone(seconds=0.1),
    ):
        raise AssertionError("two at once")


def test_an_end_in_the_middle_lets_the_next_one_in():
    with pytest.raises(ZeroDivisionError), alone():
        _ = 1 // 0
    with alone(seconds=0.1):
        pass


def test_a_host_that_is_wired_anew_first_takes_its_socket_afterwards(folder, monkeypatch):
    """As one does whose owner has just left: the wiring must not hold the network while it waits for the host."""
    monkeypatch.setenv("LABKIT_NODE", "api1")
    monkeypatch.setattr(wire, "wire", lambda node: None)  # it has its network
    door = Door(str(folder))
    monkeypatch.setattr("sys.argv", ["wire", "--agents", str(folder), "--door", str(folder)])
    handing = threading.Thread(target=wire.main)
    handing.start()
    assert select.select([door], [], [], 5)[0], "nobody came"
    with alone(seconds=5):
        pass
    listening = door.take()
    assert listening
    handing.join(5)
    assert [path.name for path in folder.iterdir()] == ["api1.sock"]
    listening.close()
    door.close()


def test_a_place_without_a_door_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["wire", "--agents", "/dev/shm/labkit"])
    with pytest.raises(SystemExit):
        wire.main()
    assert "--agents and --door belong together" in capsys.readouterr().err


def by_the_engine(netlink: Any) -> int:
    """As an engine leaves the network of alice."""
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("0")  # and by default
    netlink.link("add", ifname="eth0", kind="veth", peer="bridge0")
    index: int = netlink.link_lookup(ifname="eth0")[0]
    netlink.addr("add", index=index, address="10.0.1.11", prefixlen=24)
    netlink.link("set", index=index, state="up")
    return index


def with_ipv6(netlink: Any, index: int) -> None:
    assert Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").read_text() == "0\n"


def without_ipv6(netlink: Any, index: int) -> None:
    Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").write_text("1")


def begun(netlink: Any, index: int) -> None:
    """Another wiring was ended in the middle."""
    netlink.link("set", index=index, state="down")
    netlink.flush_addr(index=index)
    netlink.link("set", index=index, ifname="front")


def _wired(change: Callable[[Any, int], None]) -> tuple[set[str], int]:
    os.environ["LABKIT_NODE"] = "alice"
    with IPRoute() as netlink:
        index = by_the_engine(netlink)
        change(netlink, index)
        wire.wire(find()["network"])
        link = netlink.link("get", index=index)[0]
        assert link.get("ifname") == "front"
        if change is not begun:
            assert netlink.link("get", ifname="eth0")[0]["index"] == index, "the engine finds it by the name it gave"
        return {message.get("address") for message in netlink.get_addr(index=index)}, link.get("mtu")


@pytest.mark.needs("netns")
@pytest.mark.parametrize("change", [with_ipv6, without_ipv6, begun])
def test_a_host_gets_its_network_whatever_its_engine_or_another_wiring_left(change):
    addresses, mtu = in_namespace(_wired, change)
    assert {address for address in addresses if not address.startswith("fe80:")} == {"10.0.1.11", "fd00:10:0:1::11"}
    assert mtu == 1500


def _without_its_address() -> str:
    os.environ["LABKIT_NODE"] = "alice"
    try:
        wire.wire(find()["network"])
    except RuntimeUnavailable as error:
        return str(error)
    return ""


@pytest.mark.needs("netns")
def test_a_container_without_the_address_is_named():
    assert in_namespace(_without_its_address) == "alice has no interface with the address 10.0.1.11"
