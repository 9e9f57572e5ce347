"""Whether a host has its network."""

import pytest

from labkit.runtime.container.wired import wired
from labkit.runtime.network.plan import plan
from labkit.topology import default

LB = next(node for node in plan(default())["nodes"] if node["name"] == "lb")


@pytest.mark.parametrize(
    ("aliases", "is_so"),
    [
        ({}, False),
        ({"front": "wired\n"}, False),
        ({"front": "wired\n", "back": ""}, False),
        ({"front": "wired\n", "back": "\n"}, False),
        ({"front": "wired\n", "back": "wired\n"}, True),
        ({"eth0": "wired\n", "eth1": "wired\n"}, False),
    ],
)
def test_all_of_its_interfaces_bear_the_mark(tmp_path, aliases, is_so):
    for name, alias in aliases.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "ifalias").write_text(alias)
    assert wired(LB, tmp_path) is is_so
