"""What a container is told to be, and by whom."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.errors import TopologyError
from labkit.runtime.container.order import find
from labkit.runtime.container.orders import orders
from labkit.topology import default, direct_return


def test_lb_alone_administers_its_network():
    assert {
        name: order["rights"] for name, order in orders(direct_return()).items() if "net_admin" in order["rights"]
    } == {"lb": ["net_raw", "net_admin"]}


def test_a_whole_order_is_taken_as_it_is():
    order = orders(default())["bob"] | {"hosts": "127.0.0.1 localhost\n"}
    assert find({"LABKIT_ORDER": json.dumps(order), "LABKIT_NODE": "lb"}) == order


def test_a_name_is_looked_up_in_the_default_topology():
    assert find({"LABKIT_NODE": "api2"}) == orders(default())["api2"]


def test_or_in_a_file(tmp_path):
    written = (Path(__file__).parents[3] / "docs/topology.md").read_text().partition("```toml\n")[2].partition("```")[0]
    file = tmp_path / "lab.toml"
    file.write_text(written.replace("[nodes.alice]", "[nodes.anne]"))
    assert find({"LABKIT_NODE": "anne", "LABKIT_TOPOLOGY": str(file)})["network"]["interfaces"][0]["name"] == "front"


def test_on_other_subnets():
    order = find({"LABKIT_NODE": "lb", "LABKIT_SUBNETS": "front=10.9.1.0/24 back=10.9.2.0/24"})
    assert [interface["addresses"][0] for interface in order["network"]["interfaces"]] == [
        ["10.9.1.10", 24],
        ["10.9.2.10", 24],
    ]
    assert "10.9.2.21 images1\n" in order["hosts"]


@pytest.mark.parametrize(
    "subnets", ["front=10.9.1.0/16", "side=10.9.1.0/24", "front", "front=x", "front=10.9.1.1/24", "10.9.1.0/24"]
)
def test_subnets_that_do_not_fit_are_refused_with_some_that_do(subnets):
    with pytest.raises(TopologyError, match=r"does not fit .*: write it as front=10\.0\.1\.0/24 back=10\.0\.2\.0/24"):
        find({"LABKIT_NODE": "lb", "LABKIT_SUBNETS": subnets})


@pytest.mark.parametrize("environment", [{}, {"LABKIT_NODE": "carol"}])
def test_who_is_nobody_is_told_who_there_is(environment):
    with pytest.raises(TopologyError, match="set LABKIT_NODE to one of alice, bob, lb, api1"):
        find(environment)


def test_a_container_that_is_told_all_imports_nothing_that_its_owner_would_wait_for():
    """Three processes of every container find their order: of what they import, a lab's start has each seven times."""
    code = (
        "import sys, labkit.runtime.container.serve, labkit.runtime.container.__main__\n"
        "from labkit.runtime.container.order import find\n"
        "print(find()['name'], sorted({'labkit.topology', 'ipaddress', 'subprocess', 'asyncio'} & set(sys.modules)))"
    )
    environment = {"LABKIT_ORDER": json.dumps(orders(default())["bob"])}
    started = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert (started.stdout, started.stderr) == ("bob []\n", "")
