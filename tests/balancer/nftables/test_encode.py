"""The order of a transaction: a table is swapped in one go and never merely deleted."""

from labkit.balancer.nftables.encode import swap
from labkit.balancer.nftables.render import render

from .samples import HTTP, VIPS


def test_a_swap_makes_deletes_and_makes_anew_in_one_transaction() -> None:
    labels = [message.label for message in swap(render(VIPS, [HTTP]).table())]
    assert labels[:5] == [
        "table labkit",
        "the removal of the old table labkit",
        "table labkit",
        "chain prerouting",
        "chain forward",
    ]
    assert labels.index("map __map0") > labels.index("chain http_80_images2")  # a map leads to chains that are there
    assert labels.index("elements of map __map0") < labels.index("rule 1 of chain prerouting")
    assert labels[-1] == "rule 3 of chain http_80_images2"
