"""What agents that came with their hosts are told to import."""

from labkit.runtime.apart import loads
from labkit.topology import direct_return


def test_every_node_imports_what_all_need_and_the_balancer_its_own_too():
    told = loads(direct_return(), ["of", "all"], ["its own"])
    assert told.pop("lb") == ("of", "all", "its own")
    assert set(told) == {node.name for node in direct_return().nodes} - {"lb"}
    assert set(told.values()) == {("of", "all")}
